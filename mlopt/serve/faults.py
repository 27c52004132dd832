"""What a request is answered with instead of outputs: an HTTP status, and one sentence that says why."""

from __future__ import annotations

from mlopt.core.errors import MloptError, UserError

RETRY_S = 1
"""What ``Retry-After`` says; by then a queue that was full has moved, or a proxy knows that the server leaves."""


class AnswerError(UserError):
    """A request that gets no outputs; ``status`` is the HTTP status of its answer."""

    def __init__(
        self, status: int, what: str, got: str | None = None, expected: str | None = None, *, unread: bool = False
    ) -> None:
        super().__init__(what, got=got, expected=expected)
        self.status = status
        self.unread = unread
        """Whether some of the request's body was not read, so that nothing can follow it on its connection."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with the status."""
        return {"Retry-After": str(RETRY_S)} if self.status == 503 else {}


class ModelFailed(AnswerError):  # noqa: N818 - as MissingPackage: it says what happened
    """The model itself could not answer."""

    def __init__(self, cause: Exception) -> None:
        said = sentence(cause) if isinstance(cause, MloptError) else f"{type(cause).__name__}: {cause}"[:400]
        super().__init__(500, f"the model could not answer: {said}")


def bad(what: str, got: str | None = None, expected: str | None = None) -> AnswerError:
    """Return what says that a request does not fit."""
    return AnswerError(400, what, got, expected)


def full() -> AnswerError:
    """Return what says that the queue is full."""
    return AnswerError(503, "the queue is full")


def too_many_rows(rows: int, most: int) -> AnswerError:
    """Return what says that a request has more rows than are ever taken."""
    return AnswerError(413, "the request has more rows than the queue takes", f"{rows:,}", f"at most {most:,}")


def leaving() -> AnswerError:
    """Return what says that the server takes no more requests."""
    return AnswerError(503, "the server is draining, and takes no more requests")


def late(*, unread: bool = False) -> AnswerError:
    """Return what says that a request's time is over."""
    return AnswerError(504, "the deadline passed before there was an answer", unread=unread)


def sentence(error: MloptError) -> str:
    """Return the first problem in one line, without places on this machine: those are no client's business."""
    problem = error.problems[0]
    got = f"got {problem.got}" if problem.got else ""
    expected = f"expected {problem.expected}" if problem.expected else ""
    rest = "; ".join(filter(None, (got, expected)))
    return " ".join((f"{problem.what} ({rest})" if rest else problem.what).split())[:600]
