"""The program: one small module per verb, and the one place that turns errors into text and exit codes.

Verb modules import nothing heavy at their top, so that ``mlopt --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module

import typer

from mlopt import __version__
from mlopt.cli import ends, log
from mlopt.core import network
from mlopt.core.errors import ExitCode, MloptError

VERBS = (
    "optimize", "plan", "bench", "gate", "report", "diff",
    "keygen", "sign", "attest", "verify", "digest", "pack", "unpack", "export-torch",
    "inspect", "compare", "bisect", "passes", "runtimes", "doctor", "history",
)  # fmt: skip
"""Each is a module here with a function, all of one name but for the hyphen."""
_SHOWN_PROBLEMS = 50
GROUPS = ("recipe", "cache")
"""Each is a module here with an ``app`` of its own verbs."""


def program(names: Iterable[str] = (*VERBS, *GROUPS)) -> typer.Typer:
    """Return the program with these verbs: one that is asked for by name costs no import of the others."""
    app = typer.Typer(
        name="mlopt",
        help="One recipe in; out comes the fastest model that still meets its accuracy budget, signed, with its "
        "evidence.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name in names:
        function = name.replace("-", "_")
        module = import_module(f"mlopt.cli.{function}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, function))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"mlopt {__version__}\n")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is done to standard error."),
) -> None:
    del version
    log.start(verbose=verbose)


def main() -> None:
    """Run the command line and exit with the code that ``ExitCode`` documents.

    The process ends at once: all is written and closed by then, and taking apart what was imported would cost
    ``mlopt verify`` a tenth of its CPU time.
    """
    ends.open_streams()
    ends.end_in_order()
    network.guard()
    os._exit(ends.flushed(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run one command; the boundary at which every error becomes text and a code."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # other packages' code has no place in a verifier
    asked = next((word for word in arguments if not word.startswith("-")), None)
    known = asked in VERBS or asked in GROUPS
    command = typer.main.get_command(program([asked]) if asked and known else program())
    try:
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
            return ExitCode.USAGE
        if isinstance(error, OSError) and ends.is_of_a_stream(error):
            return ends.unwritable(error)
        return _bug(error)
    if code == ExitCode.INTERRUPTED:  # typer, too, turns an interrupt into this code
        _tell("interrupted", "what was finished is in the cache, and the same command goes on from there")
    return int(code or 0)


def _show(error: MloptError) -> None:
    import logging

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
    _tell("bug", f"{type(error).__name__}: {error}")
    _tell("bug", f"this is a fault of mlopt, not yours; please report it with {log.name}")
    return ExitCode.BUG


def _tell(what: str, text: str) -> None:
    from mlopt.cli.console import err

    err.print(f"{what}:", style="bold red", end=" ")
    err.print(text)
