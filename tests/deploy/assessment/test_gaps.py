"""What is missing is named with a command that there is, and nothing is missing where all is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from assessed import ASKED, subject, with_manifest
from deployed import LOGITS
from report_example import example_report
from told_commands import check_commands, commands

from mlopt.artifact.claims import PREDICATES, Claim
from mlopt.artifact.layout import Role
from mlopt.core.check import Check
from mlopt.core.packages import install_command
from mlopt.deploy.assessment.gaps import gaps, no_load_test, no_rollout
from mlopt.deploy.assessment.subject import AssessedArtifact
from mlopt.loadtest.slo import parse_slo
from mlopt.results.report import Effort, MadeBy
from mlopt.sketches import SKETCHES

KEYLESS = replace(ASKED, signed_as="keyless")
WITH_RECIPE = {"model.onnx": Role.MODEL, "report.json": Role.REPORT, "recipe.lock.yaml": Role.RECIPE}


def told(found: AssessedArtifact) -> dict[str, Check]:
    return {check.name: check for check in gaps(found)}


def whole(report: Mapping[str, Any] | None = None, **manifest: Any) -> AssessedArtifact:
    claims = tuple(Claim(uri, "s", {}) for uri in PREDICATES.values())
    return subject(KEYLESS, report=report, files=(SKETCHES,), claims=claims, **manifest)


def final(**changes: Any) -> dict[str, Any]:
    return {"final": example_report().final.model_copy(update=changes)}


def test_nothing_is_missing_where_all_is_there() -> None:
    assert told(whole()) == {}


LATENCY = example_report().final.latency_ms
FEW = LATENCY.model_copy(update={"p99": None, "reasons": {"p99": "n = 9, and p99 takes at least 299 samples"}})
GATE = example_report().gates[1]
QUICK = Effort(quick=True, time_limit_s=None, shortened=())
MADE = MadeBy(command=("mlopt", "optimize", "a.onnx", "--data", "x y.npz", "--quick"), artifact="a")


@pytest.mark.parametrize(
    ("name", "changes", "fix"),
    [
        ("gates", {"gates": ()}, "mlopt gate artifacts/mnist_cnn --gate 'latency.p99_ms <= "),
        ("gate on quality", {"gates": (GATE,)}, "mlopt gate artifacts/mnist_cnn --gate 'fidelity.cosine >= 0.99'"),
        ("gate on quality", {"gates": (GATE,), **final(fidelity=None)}, "add one, then: mlopt optimize mnist_cnn.yaml"),
        ("samples", {"data": {"evaluation": {"samples": 40}}}, "more rows in `data.evaluation`, then: mlopt optimize "),
        ("effort", {"effort": QUICK, "made_by": MADE}, "mlopt optimize a.onnx --data 'x y.npz'"),
        ("p99", final(latency_ms=FEW), "a longer `measure`, then: mlopt optimize mnist_cnn.yaml"),
        (
            "batch sweep", {"sweep": (), "made_by": MADE},
            "mlopt optimize a.onnx --data 'x y.npz' --quick --set 'measure.batch_sizes=[1, 4, 16]'",
        ),
    ],
)  # fmt: skip
def test_what_the_evidence_lacks_is_told_alone_with_its_command(name: str, changes: dict[str, Any], fix: str) -> None:
    found = told(whole(changes))
    assert list(found) == [name]
    assert found[name].status == "note"
    assert str(found[name].fix).startswith(fix)
    assert check_commands(str(found[name].fix)) == 1


def test_how_many_samples_can_hide_what_is_told() -> None:
    found = told(whole({"data": {"evaluation": {"samples": 40}}}))["samples"].found
    assert found == "40 for the evaluation: what is wrong in 7.2 % of all rows is in none of them one time in 20"
    assert pytest.approx(0.05, abs=0.002) == (1 - 0.072) ** 40
    assert told(whole({"data": {"evaluation": {"samples": "many"}}})) == {}, "a report may say anything"


def test_a_sweep_is_of_no_use_where_requests_are_not_joined() -> None:
    assert told(whole({"sweep": ()}, outputs=(replace(LOGITS, shape=(10,)),))) == {}


@pytest.mark.parametrize("there", [True, False])
def test_without_sketches_the_artifact_is_made_again(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopt.deploy.assessment.gaps.installed", lambda: there)
    found = told(replace(whole(), verified=replace(whole().verified, files={})))["sketches"]
    first = "" if there else f"{install_command('monitor')} && "
    assert found.fix == f"{first}mlopt optimize mnist_cnn.yaml"


def test_claims_are_made_by_the_signer() -> None:
    unclaimed = replace(whole(), verified=replace(whole().verified, claims=()))
    assert "claims" not in told(unclaimed), "without a recipe none can be made"
    lacking = with_manifest(unclaimed, files=WITH_RECIPE)
    assert told(lacking)["claims"].fix == "ask the signer for: mlopt attest artifacts/mnist_cnn"
    own = replace(lacking, asked=ASKED)
    assert told(own)["claims"].fix == "mlopt attest artifacts/mnist_cnn"
    assert told(own)["claims"].found == "its signer states no provenance, test-result, benchmark"
    assert check_commands(str(told(own)["claims"].fix)) == 1


def test_a_key_that_nobody_else_knows_is_told() -> None:
    found = told(replace(whole(), asked=ASKED))["signer"]
    assert str(found.fix).startswith("mlopt sign artifacts/mnist_cnn --keyless; or")
    assert check_commands(str(found.fix)) == 2
    failed = told(with_manifest(replace(whole(), asked=ASKED), verdict="fail", ungated=True))["signer"]
    assert "--keyless --allow-ungated" in str(failed.fix)


def test_a_load_test_and_a_rollout_are_told_as_commands() -> None:
    found = whole()
    assert found.content is not None
    load = no_load_test(found, found.content, Path("a load"))
    ((_, verb, artifact, *words),) = commands(str(load.fix))
    assert (verb, artifact, words[-3:]) == ("loadtest", "artifacts/mnist_cnn", ["--ramp", "-o", "a load"])
    limit = parse_slo(words[words.index("--slo") + 1])[0]
    assert limit.max == pytest.approx(found.content.settings.slo_ms.value, rel=0.05)
    assert check_commands(str(load.fix)) == 1
    assert check_commands(str(no_rollout(found, Path("rollout.jsonl")).fix)) == 1


@pytest.mark.parametrize(
    ("p99", "limit"), [(12345.6, "p99=123456ms"), (0.0000004, "p99=0.01ms"), (0.0523, "p99=0.52ms")]
)
def test_any_latency_is_a_limit_that_can_be_read(p99: float, limit: str) -> None:
    found = whole(final(latency_ms=LATENCY.model_copy(update={"p99": p99})))
    assert found.content is not None
    command = str(no_load_test(found, found.content, Path("loadtest")).fix)
    assert f"--slo {limit} " in command
    assert check_commands(command) == 1
