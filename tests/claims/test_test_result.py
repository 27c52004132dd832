"""What the gates said, as an in-toto test result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packed_artifact import PASSED, evidence, pack, verdict

from mlopt import claims
from mlopt.artifact.signing.signers import KeySigner


def predicates(directory: Path) -> dict[str, Any]:
    return {name: json.loads(text)["predicate"] for name, text in claims.statements(directory).items()}


GATES: dict[str, tuple[list[Any], str, str, str]] = {
    "all passed": ([PASSED], "pass", "PASSED", "passedTests"),
    "undecided, and that passes": (
        [verdict("speedup.median", found="inconclusive", on_inconclusive="pass")], "pass", "WARNED", "warnedTests",
    ),
    "undecided, and that warns": (
        [verdict("speedup.median", found="inconclusive", on_inconclusive="warn")], "pass", "WARNED", "warnedTests",
    ),
    "undecided": (
        [verdict("speedup.median", found="inconclusive", verdict="inconclusive")], "inconclusive", "FAILED",
        "failedTests",
    ),
    "undecided, and that fails": (
        [verdict("speedup.median", found="inconclusive", verdict="fail", on_inconclusive="fail")], "fail", "FAILED",
        "failedTests",
    ),
    "failed": ([verdict("speedup.median", found="fail", verdict="fail")], "fail", "FAILED", "failedTests"),
    "of mlopt 0.1, which does not say what was found": (
        [verdict("speedup.median", found=None)], "pass", "PASSED", "passedTests",
    ),
}  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize(("gates", "overall", "result", "where"), GATES.values(), ids=GATES)
def test_the_test_result_is_what_the_gates_said(
    tmp_path: Path, signer: KeySigner, gates: list[Any], overall: Any, result: str, where: str
) -> None:
    found = evidence(gates=(*gates, PASSED), verdict=overall)
    directory = pack(tmp_path, signer, found, allow_ungated=True).path
    told = predicates(directory)["test-result"]
    assert told["result"] == result
    assert f"{gates[0].metric} <= 14" in told[where]
    assert "latency.p95_ms <= 14" in told["passedTests"]
    assert told["configuration"][0]["name"] == "recipe.lock.yaml"
    assert told["configuration"][1]["annotations"] == {"verdict": overall, "ungated": overall != "pass"}
