"""JUnit XML, as Jenkins and GitLab read it: a test case for each gate.

Source: ``junit-10.xsd`` of Jenkins' xunit plugin. A broken gate is a failure, an undecided one an error; a gate that
passes only because of its ``on_inconclusive`` says so in ``system-out``. The message stands in the attribute, which
Jenkins lists, and in the element, which GitLab shows. The suite's time is what the run took, as far as the report tells
that; a gate's is that of the phase which measured its figure. Gates share a phase, so theirs may add up to more.
"""

from __future__ import annotations

from collections import Counter
from math import isfinite
from xml.etree import ElementTree as ET

from mlopt.core.foreign_text import plain
from mlopt.report.advice import advised
from mlopt.report.ci import accepted_undecided, title
from mlopt.results.report import GateVerdict, Report

_TIMED = ("latency.", "speedup.", "throughput_per_s", "peak_rss", "cold_start.")


def render(report: Report) -> str:
    """Return the document, with its XML declaration."""
    count = Counter(gate.verdict for gate in report.gates)
    suite = ET.Element(
        "testsuite", name=plain(f"mlopt gate {report.name}"), tests=str(len(report.gates)),
        failures=str(count["fail"]), errors=str(count["inconclusive"]), skipped="0",
    )  # fmt: skip
    suite.attrib |= _time(_whole(report))
    for gate in advised(report).gates:
        case = ET.SubElement(suite, "testcase", classname=plain(report.name), name=title(gate))
        case.attrib |= _time(_took(report, gate))
        _add_outcome(case, gate)
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'


def _took(report: Report, gate: GateVerdict) -> float | None:
    """Return the seconds of wall time behind a figure: those of measuring for speed and memory, else the run's."""
    if gate.metric.startswith(_TIMED) and report.sampling is not None:
        return report.sampling.seconds
    return _whole(report)


def _whole(report: Report) -> float | None:
    """Return the seconds of the run; if it does not tell, of steps, choosing and measuring; None if of nothing."""
    if report.took:
        return sum(report.took.values())
    steps = [step.seconds for step in report.steps if step.seconds is not None]
    measuring = [] if report.sampling is None else [report.sampling.seconds]
    known = [*steps, *report.spent.values(), *measuring]
    return sum(known) if known else None


def _time(seconds: float | None) -> dict[str, str]:
    """Return the attribute, which is left out where nothing is known: 0 would say that it took no time."""
    return {"time": f"{seconds:.3f}"} if seconds is not None and isfinite(seconds) and seconds >= 0 else {}


def _add_outcome(case: ET.Element, gate: GateVerdict) -> None:
    message = plain(gate.message)
    if gate.verdict == "pass":
        said = f"warning: {message}" if accepted_undecided(gate) else message
        ET.SubElement(case, "system-out").text = said
    else:
        kind = "failure" if gate.verdict == "fail" else "error"
        ET.SubElement(case, kind, type=gate.verdict, message=message).text = message
