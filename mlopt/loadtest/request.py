"""What a load test is asked for, and what is refused before any load is put on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlopt.artifact.signing.base import Trust
from mlopt.core.errors import UserError
from mlopt.gate.limits import Gate
from mlopt.loadtest.payload import PayloadWanted, SampleGiver
from mlopt.loadtest.slo import check_gates, loosest_ms, of_service
from mlopt.loadtest.target import is_url

_MOST_REQUESTS = 2_000_000
_SECONDS = 30.0


@dataclass(frozen=True)
class LoadRequest:
    """A load test. ``rate`` is requests a second to each server, ``seconds`` how long they are sent."""

    target: str
    """An address, or the folder of an artifact, which is then served."""
    rate: float
    seconds: float = _SECONDS
    against: str | None = None
    """The address of another server, which is asked in turn."""
    artifact: Path | None = None
    """What should be served, if ``target`` is an address."""
    model: str | None = None
    data: Path | None = None
    recipe: SampleGiver | None = None
    """Whose samples are asked, in place of ``data``."""
    samples: int = 64
    batch: int = 1
    constant: bool = False
    seed: int = 0
    gates: tuple[Gate, ...] = ()
    ramp: bool = False
    max_rate: float | None = None
    """The highest rate that the search tries."""
    max_time: float = 300.0
    """Of the search, in seconds."""
    time_limit_s: float = 10.0
    max_in_flight: int = 256
    trust: Trust | None = None
    trusted: tuple[str, ...] = ()
    """The options that tell ``mlopt serve`` the same."""

    @property
    def truth(self) -> Path | None:
        """The artifact that is known, if any."""
        return self.artifact if is_url(self.target) else Path(self.target)

    @property
    def payload(self) -> PayloadWanted:
        """Where requests come from."""
        return PayloadWanted(self.data, self.batch, self.samples, self.recipe)

    @property
    def highest(self) -> float:
        """The highest rate that the search may try."""
        return self.max_rate if self.max_rate is not None else 64 * self.rate


def folder(request: LoadRequest) -> Path:
    """Return the artifact that is to be served."""
    return Path(request.target)


def check(request: LoadRequest) -> None:
    """Raise ``UserError`` for what contradicts itself, is without end, or could not be judged."""
    check_gates(request.gates, ramp=request.ramp)
    servers = 1 if request.against is None else 2
    if request.rate * request.seconds * servers > _MOST_REQUESTS:
        raise UserError(
            "so many requests are not sent", got=f"{request.rate * request.seconds * servers:,.0f}",
            expected=f"at most {_MOST_REQUESTS:,}", fix="a lower --rate, or fewer --seconds",
        )  # fmt: skip
    if request.rate * request.seconds < 1:
        raise UserError("no request would be sent", got=f"{request.rate:g} a second for {request.seconds:g} s",
                        fix="a higher --rate, or more --seconds")  # fmt: skip
    if 1000 * request.time_limit_s <= loosest_ms(request.gates):
        raise UserError(
            "a request would be given up before its limit", got=f"--timeout {request.time_limit_s:g}",
            expected=f"more than {loosest_ms(request.gates):g} ms", fix="a longer --timeout",
        )  # fmt: skip
    _check_places(request)
    _check_ramp(request)


def _check_places(request: LoadRequest) -> None:
    if not is_url(request.target) and (request.artifact is not None or request.model is not None):
        raise UserError("--artifact and --model go with an address", got=request.target,
                        fix="leave them out: the artifact that is served is the one to compare with")  # fmt: skip
    if request.data is not None and request.recipe is not None:
        raise UserError("--data and --recipe both say what is asked", got=f"{request.data}, {request.recipe}",
                        fix="leave one of them out")  # fmt: skip
    if request.against is not None and not is_url(request.against):
        raise UserError("--against takes an address", got=request.against, expected="http://HOST:PORT",
                        fix="start the other server, and give its address")  # fmt: skip


def _check_ramp(request: LoadRequest) -> None:
    if not request.ramp:
        return
    if request.against is not None:
        raise UserError("--ramp and --against contradict each other", fix="search with one server at a time")
    if not of_service(request.gates):
        raise UserError("a search needs to know what to keep", got="--ramp without limits", fix="add --slo p99=100ms")
    if request.highest < request.rate:
        raise UserError("the search begins above its highest rate", got=f"--rate {request.rate:g}",
                        expected=f"at most --max-rate {request.highest:g}", fix="a higher --max-rate")  # fmt: skip
