"""Write what benchmarks/overhead.py stored as Markdown: docs/overhead.md.

python benchmarks/overhead.py --page
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from precision_figures import DOCS

from mlopt.report.facts import size

HEAD = """\
# What mlopt itself costs

Measured by `benchmarks/overhead.py`, whose docstring says what counts as mlopt's own and what as the work; this page is
`python benchmarks/overhead.py --page`. Seconds depend on the machine; ratios come from runs in turns.
"""
Found = Mapping[str, Any]


def write(document: Found) -> None:
    """Write the page."""
    lines = [HEAD]
    for name, section in SECTIONS.items():
        if name in document:
            lines += [*section(document[name], document["most"]), "", *machine(document[name]), ""]
    (DOCS / "overhead.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def machine(found: Found) -> Iterator[str]:
    """Yield where and when a part was measured."""
    where = found["environment"]
    cpu, packages = where["cpu"], ", ".join(f"{name} {version}" for name, version in where["packages"].items())
    yield f"{found['created'][:10]}, {cpu['model']}, {cpu['cores']} cores; mlopt {where['mlopt']}, {packages}."


def against(found: Found, most: Found) -> Iterator[str]:
    """Yield mlopt beside direct calls."""
    yield "## Beside direct calls of the same libraries"
    yield ""
    yield f"`passes: {found['chain']}`, the median of {found['pairs']} runs each. At most {most['wall']}x the wall time"
    yield f"and {most['memory']}x the memory of the largest process. All processes together hold more: mlopt measures"
    yield "each model in a process of its own."
    yield ""
    yield "| recipe | direct | mlopt | wall | CPU time | largest process | all processes |"
    yield "|---|---|---|---|---|---|---|"
    for name, case in found["cases"].items():
        mine, others = case["mlopt"], case["direct"]
        seconds = f"{others['wall_seconds']:.1f} s | {mine['wall_seconds']:.1f} s"
        wall, largest = (
            verdict(case["wall_ratio"], most["wall"]),
            verdict(case["largest_process_ratio"], most["memory"]),
        )
        memory = f"{largest}: {told(case, 'largest_process')} | {told(case, 'tree')}"
        yield f"| {name} | {seconds} | {wall} | {case['cpu_ratio']:.2f}x | {memory} |"
    for name, case in found["cases"].items():
        yield ""
        yield f"{name}, seconds: " + "; ".join(
            f"{who}: {', '.join(f'{stage} {seconds:.1f}' for stage, seconds in stages.items())}"
            for who, stages in case["phases"].items()
        )


def told(case: Found, key: str) -> str:
    """Return both sides' memory."""
    return f"{size(int(case['mlopt'][f'{key}_bytes']))} for {size(int(case['direct'][f'{key}_bytes']))}"


def verdict(value: float, most: float) -> str:
    """Return a ratio, in bold if it misses its bar."""
    return f"{value:.2f}x" if value <= most else f"**{value:.2f}x**"


def cached(found: Found, most: Found) -> Iterator[str]:
    """Yield what a second run costs."""
    yield "## The same run again"
    yield ""
    yield f"Everything is in the cache, but measuring is done anew. At most {most['cached']:g} s besides that."
    yield ""
    yield "| recipe | besides measuring | of that outside of every phase | phases |"
    yield "|---|---|---|---|"
    for name, case in found["cases"].items():
        mark = "**" if case["own_seconds"] > most["cached"] else ""
        phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in case["phases"].items() if seconds >= 0.05)
        own, outside = f"{mark}{case['own_seconds']:.2f} s{mark}", f"{case['outside_phases_seconds']:.2f} s"
        yield f"| {name} | {own} | {outside} | {phases} |"


def memory(found: Found, most: Found) -> Iterator[str]:
    """Yield memory by size."""
    yield "## Memory by the size of the model"
    yield ""
    yield f"`passes: {found['chain']}` on stacks of matrix products. Growth is bytes of memory for each byte of model,"
    yield f"from the smallest on: at most {most['growth']:g} for the largest process. All processes together hold each"
    yield "measured model once, and the source twice, to know the noise: they are told, beside what direct calls hold."
    yield ""
    yield "| model | largest process | growth | all processes | growth | direct calls, one process |"
    yield "|---|---|---|---|---|---|"
    for case in found["sizes"].values():
        cells = [size(case["size_bytes"])]
        for what in ("largest_process", "tree"):
            growth = case.get(f"{what}_growth")
            most_here = most["growth"] if what == "largest_process" else math.inf
            cells += [size(case[f"{what}_bytes"]), "" if growth is None else verdict(growth, most_here)]
        own = case["direct"]
        cells.append(own["failed"][:80] if "failed" in own else size(own["largest_process_bytes"]))
        yield f"| {' | '.join(cells)} |"
    yield ""
    for case in found["sizes"].values():
        yield f"- {size(case['size_bytes'])}: " + ", ".join(f"{n} {size(held)}" for n, held in case["steps"].items())


def passes(found: Found, _most: Found) -> Iterator[str]:
    """Yield growth with the number of passes."""
    yield "## By the number of passes"
    yield ""
    yield "| chain, on 10 MB | besides measuring | CPU time | largest process |"
    yield "|---|---|---|---|"
    for chain, case in found["chains"].items():
        held = size(case["largest_process_bytes"])
        yield f"| `{chain}` | {case['own_seconds']:.1f} s | {case['cpu_seconds']:.1f} s | {held} |"


def samples(found: Found, _most: Found) -> Iterator[str]:
    """Yield growth with the number of calibration samples."""
    yield "## By the number of calibration samples"
    yield ""
    yield "| samples, mnist_cnn | the pass | its process |"
    yield "|---|---|---|"
    for count, case in found["counts"].items():
        yield f"| {count} | {case['seconds']:.2f} s | {size(case['peak_rss_bytes'])} |"


def start(found: Found, _most: Found) -> Iterator[str]:
    """Yield what starting takes."""
    yield "## Starting"
    yield ""
    yield f"CPU time of `mlopt --help`: {found['help']:.2f} s; of `mlopt optimize` until it has planned:"
    yield f"{found['plan']:.2f} s."


SECTIONS = {
    "against": against, "cached": cached, "memory": memory, "passes": passes, "samples": samples, "start": start,
}  # fmt: skip
