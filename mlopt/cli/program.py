"""How the program is built of its verbs: which there are, its help, and the options that stand before or after a verb.

Only the verb that is asked for is imported; its help has one line in that of the program, the first sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mlopt import __version__
from mlopt.cli import events, log

if TYPE_CHECKING:
    from collections.abc import Iterator

PANELS = {
    "Optimize and judge": ("optimize", "tune", "plan", "bench", "gate", "report", "diff", "history"),
    "Sign and deliver": ("keygen", "sign", "attest", "verify", "digest", "pack", "unpack", "export-torch"),
    "Use it": ("predict",),
    "Bring it into service": ("deploy", "serve", "loadtest", "rollout", "monitor"),
    "Look inside": ("inspect", "compare", "bisect", "passes", "runtimes"),
    "Set up": ("recipe", "baseline", "cache", "doctor"),
}
"""Each is a module here with a function, all of one name but for the hyphen, or one of the groups."""
GROUPS = ("recipe", "baseline", "cache", "rollout")
"""Each is a module here with an ``app`` of its own verbs."""
VERBS = tuple(name for names in PANELS.values() for name in names if name not in GROUPS)
_WIDEST = 100
"""Columns of the help, where the screen has them."""
_WHOLE = 1000
"""More characters than any first sentence has, so that none is cut."""
_EVENTS = "Write what happens into this file as it happens, a JSON object in each line (docs/ci.md)."


class _InPanels(TyperGroup):
    """The program: its verbs in panels, each with the first sentence of its help, whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        for title, names in PANELS.items():
            rows = [(name, self.commands[name].get_short_help_str(_WHOLE)) for name in names if name in self.commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(name.ljust(max(map(len, VERBS))), text) for name, text in rows])


def program(names: Iterable[str] = (*VERBS, *GROUPS)) -> Any:
    """Return the program with these verbs: one that is asked for by name costs no import of the others."""
    app = typer.Typer(
        name="mlopt",
        cls=_InPanels,
        help="One recipe in; out comes the fastest model that still meets its accuracy budget, signed, with its "
        "evidence.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST},
    )
    app.callback()(_root)
    for name in names:
        function = name.replace("-", "_")
        module = import_module(f"mlopt.cli.{function}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, function))
    return _with_common_options(typer.main.get_command(app))


def _with_common_options(root: Any) -> Any:
    """Give every verb the options that the program has for all of them, so that they may stand behind it, too.

    ``--events`` stands nowhere else: its first line says which verb it is.
    """
    common = [each for each in root.params if each.name in ("verbose", "quiet", "events_to")]
    root.params = [each for each in root.params if each.name != "events_to"]
    for verb in _verbs(root):
        verb.params += common
    return root


def _verbs(group: Any) -> Iterator[Any]:
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from _verbs(command)
        else:
            yield command


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"mlopt {__version__}\n")
        raise typer.Exit


def _verbose(wanted: bool) -> None:
    if wanted:
        log.start(verbose=True)


def _quiet(wanted: bool) -> None:
    if wanted:
        log.start(quiet=True)


def _begin(context: typer.Context, file: Path | None) -> None:
    if file is not None and not context.resilient_parsing:  # which a shell does that completes a line
        events.begin(context.command_path.partition(" ")[2], Path(file))


def _root(
    version: bool = typer.Option(
        False, "--version", "-V", callback=_version, is_eager=True, expose_value=False, help="Print the version."
    ),
    verbose: bool = typer.Option(
        False, "--verbose", "-v", callback=_verbose, expose_value=False, help="Log what is done to standard error."
    ),
    quiet: bool = typer.Option(
        False, "--quiet", "-q", callback=_quiet, expose_value=False, help="Print results and errors, and nothing else."
    ),
    events_to: Annotated[
        Path | None,
        typer.Option("--events", metavar="FILE", callback=_begin, is_eager=True, expose_value=False, help=_EVENTS),
    ] = None,
) -> None:
    del version, verbose, quiet, events_to  # their callbacks act
