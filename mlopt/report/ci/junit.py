"""JUnit XML, as Jenkins and GitLab read it: a test case for each gate.

Source: ``junit-10.xsd`` of Jenkins' xunit plugin. A broken gate is a failure, an undecided one an error; a gate that
passes only because of its ``on_inconclusive`` says so in ``system-out``. The message stands in the attribute, which
Jenkins lists, and in the element, which GitLab shows.
"""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from mlopt.core.foreign_text import plain
from mlopt.report.ci import accepted_undecided, title
from mlopt.results.report import GateVerdict, Report


def render(report: Report) -> str:
    """Return the document, with its XML declaration."""
    count = Counter(gate.verdict for gate in report.gates)
    suite = ET.Element(
        "testsuite", name=plain(f"mlopt gate {report.name}"), tests=str(len(report.gates)),
        failures=str(count["fail"]), errors=str(count["inconclusive"]), skipped="0", time="0",
    )  # fmt: skip
    for gate in report.gates:
        case = ET.SubElement(suite, "testcase", classname=plain(report.name), name=title(gate), time="0")
        _add_outcome(case, gate)
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'


def _add_outcome(case: ET.Element, gate: GateVerdict) -> None:
    message = plain(gate.message)
    if gate.verdict == "pass":
        said = f"warning: {message}" if accepted_undecided(gate) else message
        ET.SubElement(case, "system-out").text = said
    else:
        kind = "failure" if gate.verdict == "fail" else "error"
        ET.SubElement(case, kind, type=gate.verdict, message=message).text = message
