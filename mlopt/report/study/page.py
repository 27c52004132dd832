"""``study.html``: one file that needs no network and no script. All text of a study is untrusted, and escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopt.core.foreign_text import as_shown, plain
from mlopt.report import html
from mlopt.report.study import account, bars, front_picture, path_picture, rows
from mlopt.report.study.importance import LEAST_TRIALS
from mlopt.report.study.rows import TrialRow
from mlopt.report.svg import PALETTE, Drawing

if TYPE_CHECKING:
    from markupsafe import Markup

    from mlopt.results.study import StudyRecord

MOST = 100
"""Trials of one kind that are listed; the picture beside them holds more."""
FRONT = 12
_GROUPS: dict[str, tuple[str, ...]] = {
    "front": ("best", "on the front"), "valid": ("valid",), "invalid": ("not judged", "not valid"),
    "stopped": ("stopped",), "failed": ("failed",),
}  # fmt: skip


@dataclass(frozen=True)
class TrialGroup:
    """Trials that came equally far, the first of them, and how many there are besides."""

    rows: tuple[TrialRow, ...]
    more: int

    @property
    def hint(self) -> str:
        """How many there are."""
        count = len(self.rows) + self.more
        return f"{count:,} trial{'' if count == 1 else 's'}"


def render(record: StudyRecord) -> str:
    """Return the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mlopt.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=as_shown,
    )  # fmt: skip
    environment.filters |= {"plain": plain, "together": html.together, "share": html.share}
    listed = rows.rows(record)
    return environment.get_template("study.html.j2").render(
        record=record, account=account, palette=PALETTE, role=rows.ROLE, quality=rows.quality_name(record),
        groups=groups(listed), front=_drawn(front_picture.picture(record, listed)),
        path=_drawn(path_picture.picture(record, listed)), worth=bars.worth(record),
        importance=bars.importance(record), importance_caption=bars.importance_caption(record), least=LEAST_TRIALS,
        causes=bars.causes([row for row in listed if row.standing == "failed"]), space=rows.space(record),
    )  # fmt: skip


def groups(listed: Sequence[TrialRow]) -> dict[str, TrialGroup]:
    """Return the trials by how far they came; the recipe's own chain stands with the front, to compare."""
    found = {}
    for name, standings in _GROUPS.items():
        its = [row for row in listed if row.standing in standings or (name == "front" and row.is_recipe)]
        most = FRONT if name == "front" else MOST
        shown = [*its[:most], *(row for row in its[most:] if row.is_recipe and name == "front")]
        found[name] = TrialGroup(tuple(shown), len(its) - len(shown))
    return found


def _drawn(picture: Drawing | None) -> list[tuple[Drawing, Markup]]:
    from markupsafe import Markup

    return [] if picture is None else [(picture, Markup(picture.svg))]  # noqa: S704 - our SVG
