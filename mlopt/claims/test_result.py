"""The claim of what the gates said: in-toto test-result v0.1.

https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
"""

from __future__ import annotations

from typing import Any

from mlopt.artifact.layout import MANIFEST, Role
from mlopt.claims.facts import Facts
from mlopt.results.report import GateVerdict


def predicate(facts: Facts) -> dict[str, Any]:
    """Return the predicate: an undecided gate failed, unless its recipe lets it pass or warn, which is a warning.

    An artifact that was signed although its gates did not pass says so beside ``mlopt.json``.
    """
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for gate in facts.report.gates:
        tests[_kind(gate)].append(f"{gate.metric} {gate.limit}")
    result = "FAILED" if facts.report.verdict != "pass" else "WARNED" if tests["warnedTests"] else "PASSED"
    verdict = {"verdict": facts.manifest.verdict, "ungated": facts.manifest.ungated}
    return {
        "result": result,
        "configuration": [facts.file(Role.RECIPE), {**facts.resource(MANIFEST), "annotations": verdict}],
        **tests,
    }


def _kind(gate: GateVerdict) -> str:
    if gate.verdict != "pass":
        return "failedTests"
    return "warnedTests" if gate.found == "inconclusive" else "passedTests"
