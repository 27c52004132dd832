"""One run of the program: the one place that turns errors into text and exit codes.

Verb modules import nothing heavy at their top, so that ``mlopt --help`` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer

from mlopt.cli import ends, events, log, settings
from mlopt.cli.program import GROUPS, VERBS, program
from mlopt.core import network
from mlopt.core.errors import ExitCode, MloptError

_SHOWN_PROBLEMS = 50


def main() -> None:
    """Run the command line and exit with the code that ``ExitCode`` documents.

    The process ends at once: all is written and closed by then, and taking apart what was imported would cost
    ``mlopt verify`` a tenth of its CPU time.
    """
    ends.open_streams()
    ends.end_in_order()
    network.guard()
    os._exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command, and say in its events how it ended: the one place for that, whatever the end."""
    code: int = ExitCode.BUG
    try:
        code = ends.flushed(_run(arguments))
    except SystemExit as leaving:  # a signal asked for it
        code = leaving.code if isinstance(leaving.code, int) else ExitCode.GATE_FAILED
        raise
    finally:
        events.end(code)
    return code


def _run(arguments: list[str]) -> int:
    """Run one command; the boundary at which every error becomes text and a code."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # other packages' code has no place in a verifier
    asked = next((word for word in arguments if not word.startswith("-")), None)
    known = asked in VERBS or asked in GROUPS
    log.start()
    command = program([asked]) if asked and known else program()
    try:
        if known:
            settings.use_cache_of(settings.load())
        code = command.main(arguments, prog_name="mlopt", standalone_mode=False)
    except MloptError as error:
        _show(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except SystemExit as leaving:  # typer and rich end with 1 when nobody reads on, which would say that a gate failed
        if not isinstance(leaving.__context__, BrokenPipeError):
            raise
        return ends.unwritable(leaving.__context__)
    except Exception as error:  # noqa: BLE001 - the outermost boundary: told to the user in full
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's own usage errors
            error.show()  # type: ignore[attr-defined]
            events.current().fail(error.format_message())
            return ExitCode.USAGE
        if isinstance(error, OSError) and ends.is_of_a_stream(error):
            return ends.unwritable(error)
        return _bug(error)
    if code == ExitCode.INTERRUPTED:  # typer, too, turns an interrupt into this code
        events.current().fail("interrupted")
        _tell("interrupted", "what was finished is in the cache, and the same command goes on from there")
    return int(code or 0)


def _show(error: MloptError) -> None:
    import logging

    events.current().fail(": ".join(filter(None, (error.problems[0].where, error.brief))))
    for problem in error.problems[:_SHOWN_PROBLEMS]:
        _tell("error", str(problem))
    if len(error.problems) > _SHOWN_PROBLEMS:
        _tell("error", f"{len(error.problems) - _SHOWN_PROBLEMS:,} more, which are not shown")
    traces = _tracebacks(error)
    if traces and logging.getLogger("mlopt").isEnabledFor(logging.DEBUG):
        _tell("traceback", traces[-1])
    elif traces:
        _tell("hint", "`mlopt -v optimize ...` shows the traceback")


def _tracebacks(error: BaseException | None) -> list[str]:
    """Return the tracebacks, of Python that is not mlopt's, that were noted on the way to this error."""
    found: list[str] = []
    while error is not None and not isinstance(error, OSError):  # what the system refuses is not that Python's fault
        found += getattr(error, "__notes__", ())
        error = error.__cause__ or error.__context__
    return found


def _bug(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="mlopt-bug-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    what = f"{type(error).__name__}: {error}"
    events.current().fail(what)
    _tell("bug", what)
    _tell("bug", f"this is a fault of mlopt, not yours; please report it with {log.name}")
    return ExitCode.BUG


def _tell(what: str, text: str) -> None:
    from mlopt.cli.console import errors

    errors.say(f"{what}: {text}", "bold red", len(what) + 1)
