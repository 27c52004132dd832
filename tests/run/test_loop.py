"""The loop over steps, on toys: every kind of step, optional or not, lossy or not, and whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from campaign_parts import recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_chain import BOTH, ONNX, PASSES, TORCH, TOY, Toy, World, steps, third_kind, told

from mlopt.core.errors import GateError, MloptError, OutputError, PassError, Problem
from mlopt.core.target import Target
from mlopt.formats.model import Kind, Model
from mlopt.recipe.schema import Step
from mlopt.run.chain import misfits
from mlopt.run.outcomes import Outcome, TrialVerdict


@pytest.fixture(scope="module", autouse=True)
def _three_kinds() -> Iterator[None]:
    with third_kind():
        yield


def problem(world: World, chain: Any, kind: Kind = TORCH) -> Problem:
    """Return why the run ends."""
    with pytest.raises(PassError) as caught:
        world.run(chain, kind)
    return caught.value.problems[0]


def test_an_optional_step_is_compared_with_the_model_before_it() -> None:
    world = World()
    outcomes = world.run("simplify quantize?", ONNX)
    assert told(outcomes) == ["simplify applied", "quantize applied"]
    assert world.compared == [("onnx: net simplify", "onnx: net simplify quantize", True)]
    assert world.final(outcomes, ONNX) == "onnx: net simplify quantize"


def test_one_that_does_not_help_is_left_out_and_the_chain_goes_on_without_it() -> None:
    outcomes = (world := World(lambda *_: "no gain")).run("quantize? simplify", ONNX)
    assert told(outcomes) == ["quantize dropped: no gain", "simplify applied"]
    assert world.final(outcomes, ONNX) == "onnx: net simplify"


@pytest.mark.parametrize("verdict", [None, "no gain"])
def test_a_step_from_pytorch_to_pytorch_is_judged_after_the_export(verdict: str | None) -> None:
    world = World(lambda *_: verdict)
    outcomes = world.run("prune? export simplify")
    assert world.compared == [("onnx: net export", "onnx: net prune export", True)]
    kept = verdict is None
    assert told(outcomes) == [
        "prune applied" if kept else "prune dropped: no gain",
        "export applied",
        "simplify applied",
    ]
    assert world.final(outcomes) == f"onnx: net {'prune ' if kept else ''}export simplify"
    assert world.worked.count("torch: net > export") == 1
    assert any("to see what 'prune' is worth" in line for line in world.said)


def test_several_of_them_are_judged_one_after_the_other() -> None:
    world = World(lambda _best, new: "no gain" if "prune" in new else None)
    outcomes = world.run("rewrite? prune? distill? export quantize?")
    assert world.compared == [
        ("onnx: net export", "onnx: net rewrite export", False),
        ("onnx: net rewrite export", "onnx: net rewrite prune export", True),
        ("onnx: net rewrite export", "onnx: net rewrite distill export", True),
        ("onnx: net rewrite distill export", "onnx: net rewrite distill export quantize", True),
    ]
    assert told(outcomes)[1] == "prune dropped: no gain"
    assert world.final(outcomes) == "onnx: net rewrite distill export quantize"


@pytest.mark.parametrize("verdict", [None, "no gain"])
def test_one_that_changes_the_kind_is_compared_with_the_export_that_stands_in_for_it(verdict: str | None) -> None:
    world = World(lambda *_: verdict)
    outcomes = world.run("compress? export simplify")
    assert world.compared == [("onnx: net export", "onnx: net compress", True)]
    if verdict is None:
        not_needed = "export refused: not needed: 'compress' has made an ONNX model already"
        assert told(outcomes) == ["compress applied", not_needed, "simplify applied"]
        assert world.final(outcomes) == "onnx: net compress simplify"
    else:
        assert told(outcomes) == ["compress dropped: no gain", "export applied", "simplify applied"]
        assert world.final(outcomes) == "onnx: net export simplify"


def test_the_steps_that_both_ways_take_are_run_on_both() -> None:
    world = World()
    assert told(world.run("export? either")) == ["export applied", "either applied"]
    assert world.compared == [("onnx: net either", "onnx: net export either", False)]


@pytest.mark.parametrize(
    ("chain", "missing"),
    [
        ("compress?", "without it"),
        ("compress? quantize?", "without it"),
        ("export? simplify?", "without it"),
        ("prune?", "without it"),
    ],
)
def test_what_nothing_can_be_compared_with_is_never_kept(chain: str, missing: str) -> None:
    outcomes = (world := World()).run(chain)
    assert world.compared == []
    assert outcomes[0].status == "dropped"
    assert outcomes[0].reason == f"it could not be judged: no required step makes a model to ship {missing}"
    with pytest.raises(PassError, match="the passes end in a model that onnxruntime does not run") as caught:
        world.final(outcomes)
    assert f"'{outcomes[0].step.name}' was dropped: it could not be judged" in str(caught.value)


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        ("refuse", "was refused: there is nothing to do"),
        ("fail", "was failed: it cannot be done: a toy"),
        ("crash", "was failed: the pass 'export' failed: it was ended by SIGSEGV"),
        ("change", "was dropped: a lossless pass changed the model's results: sample 7 differs"),
    ],
)
def test_a_step_that_then_gets_another_kind_says_so(does: str, cause: str) -> None:
    optional = steps("export? simplify? either", export={"does": does})
    outcomes = (world := World()).run(optional)
    given = f"it takes an ONNX model, and there is a PyTorch one, since 'export' {cause}"
    assert told(outcomes)[1] == f"simplify refused: {given}"
    assert world.final(outcomes) == "onnx: net either"
    found = problem(World(), steps("export? simplify", export={"does": does}))
    assert found == Problem(
        "'simplify' does not fit here", "toy: 2 simplify", f"a PyTorch model, since 'export' {cause}", "an ONNX model",
        "leave `optional` out of 'export'",
    )  # fmt: skip


def test_a_required_step_ends_the_run_whatever_came_before() -> None:
    assert problem(World(), "simplify").got == "a PyTorch model"
    assert problem(World(), "export", ONNX).fix == "remove 'export'"
    found = problem(World(), steps("simplify quantize", quantize={"does": "refuse"}), ONNX)
    assert found.what == "'quantize' does not apply: there is nothing to do"
    changed = problem(World(), steps("simplify", simplify={"does": "change"}), ONNX)
    assert (changed.what, changed.got) == ("a lossless pass changed the model's results", "sample 7 differs")


def test_one_after_which_the_chain_fails_is_dropped_with_that_reason() -> None:
    class Stumbles(World):
        def _work(self, *args: Any, **more: Any) -> Any:
            if "prune" in self.text(args[3]):
                raise PassError("it cannot be exported", got="pruned")
            return super()._work(*args, **more)

    outcomes = (world := Stumbles()).run("prune? export")
    assert told(outcomes) == [
        "prune dropped: it could not be judged: after it, 'export' failed: it cannot be exported: pruned",
        "export applied",
    ]
    assert world.final(outcomes) == "onnx: net export"


def test_where_only_the_other_way_works_the_error_says_so() -> None:
    found = problem(World(), steps("rewrite? export", export={"only_after": "rewrite"}))
    assert found.what == "it cannot be done"
    assert str(found.fix).startswith("leave `optional` out of 'rewrite', after which 'export' works; or see repro")


@pytest.mark.parametrize(
    "error",
    [GateError("fidelity was not measured"), OutputError("no room", got="0 bytes"), PassError(Problem("it is wrong"))],
)
def test_whatever_keeps_a_step_from_being_judged_drops_it_and_the_run_goes_on(error: MloptError) -> None:
    class Broken(World):
        def trial(self, best: Model, candidate: Model, lossy: bool) -> TrialVerdict:
            raise error

    outcomes = (world := Broken()).run("prune? export quantize?")
    got = f": {error.problems[0].got}" if error.problems[0].got else ""
    reason = f"it could not be judged: {error.problems[0].what}{got}"
    assert told(outcomes) == [f"prune dropped: {reason}", "export applied", f"quantize dropped: {reason}"]
    assert world.final(outcomes) == "onnx: net export"


def test_a_bug_in_judging_is_no_reason_to_drop_a_step() -> None:
    class Buggy(World):
        def trial(self, best: Model, candidate: Model, lossy: bool) -> TrialVerdict:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Buggy().run("quantize?", ONNX)


def test_what_changes_nothing_needs_no_trial() -> None:
    world = World(lambda *_: "no gain")
    assert told(world.run(steps("prune? export", prune={"does": "nothing"}))) == ["prune applied", "export applied"]
    assert world.compared == []


def test_without_a_guard_all_that_is_written_is_kept() -> None:
    world = World()
    outcomes = world.run("compress? export quantize?", judged=False)
    assert told(outcomes)[0] == "compress applied"
    assert world.final(outcomes) == "onnx: net compress quantize"
    assert world.worked == ["torch: net > compress", "onnx: net compress > quantize"]


def test_a_second_run_does_nothing_again() -> None:
    world, chain = World(lambda *_: None), "prune? compress? export quantize?"
    first = world.run(chain)
    assert {each.status for each in first if each.kept is not None} == {"applied"}
    done = list(world.worked)
    again = world.run(chain)
    assert world.worked == done
    assert {each.status for each in again if each.kept is not None} == {"cached"}
    assert world.final(again) == world.final(first)


@pytest.mark.parametrize(
    ("chain", "kind", "baseline"),
    [
        ("simplify quantize", ONNX, "onnx: net"),
        ("quantize", ONNX, "onnx: net"),
        ("export simplify", TORCH, "onnx: net export"),
        ("either quantize", TORCH, "onnx: net either"),
        ("compress", TORCH, "onnx: net export"),
        ("rewrite compress", TORCH, "onnx: net export"),
        ("rewrite export", TORCH, "onnx: net export"),
        ("prune export", TORCH, "onnx: net export"),
        ("prune? export", TORCH, "onnx: net export"),
        ("compress? export quantize", TORCH, "onnx: net export"),
        ("rewrite? compress? export quantize", TORCH, "onnx: net export"),
    ],
)
@pytest.mark.parametrize("verdict", [None, "no gain"])
def test_the_baseline_is_the_source_when_it_is_only_exported(
    chain: str, kind: Kind, baseline: str, verdict: str | None
) -> None:
    world = World(lambda *_: verdict)
    outcomes = world.run(chain, kind)
    assert world.baseline(outcomes, kind) == baseline


def as_told(name: str, does: str, lossy: bool) -> str:
    """Return what becomes of an optional step that does so, and that the guard would keep."""
    changed = "dropped: a lossless pass changed the model's results: sample 7 differs"
    return (
        f"{name} "
        + {
            "work": "applied",
            "nothing": "applied",
            "change": "applied" if lossy else changed,
            "refuse": "refused: there is nothing to do",
            "fail": "failed: it cannot be done: a toy",
            "crash": f"failed: the pass '{name}' failed: it was ended by SIGSEGV",
        }[does]
    )


@pytest.mark.parametrize("does", ["work", "nothing", "change", "refuse", "fail", "crash"])
@pytest.mark.parametrize(
    ("chain", "name", "otherwise"),
    [
        ("export lower? round?", "lower", "onnx: net export"),
        ("export compile? round?", "compile", "onnx: net export"),
        ("press? compile", "press", "toy: net compile"),
        ("compile? compile", "compile", "toy: net compile"),
        ("export lower round? lift", "round", "onnx: net export lower lift"),
    ],
)
def test_an_optional_step_to_a_third_kind_is_judged_or_left_out_as_any(
    chain: str, name: str, otherwise: str, does: str
) -> None:
    world = World(target=BOTH)
    wanted = steps(chain)
    number = next(n for n, step in enumerate(wanted) if step.name == name and step.optional)
    wanted[number] = wanted[number].model_copy(update={"config": Toy(does=does)})
    first = world.run(wanted)
    expected = as_told(name, does, PASSES[name].lossy)
    assert told(first)[number] == expected
    assert world.final(first) == (replayed(first, TORCH) if expected.endswith("applied") else otherwise)
    done = list(world.worked)
    again = world.run(wanted)
    assert [each.status for each in again if each.kept is not None] == ["cached"] * sum(
        each.kept is not None for each in first
    )
    assert [each for each in world.worked[len(done) :] if does not in {"fail", "crash"}] == []
    assert world.final(again) == world.final(first)


@pytest.mark.parametrize("verdict", [None, "no gain"])
def test_two_kinds_that_can_be_shipped_are_compared_at_once(verdict: str | None) -> None:
    world = World(lambda *_: verdict, BOTH)
    outcomes = world.run("export lower?")
    assert world.compared == [("onnx: net export", "toy: net export lower", False)]
    assert world.final(outcomes) == ("toy: net export lower" if verdict is None else "onnx: net export")


@pytest.mark.parametrize("verdict", [None, "no gain"])
def test_a_step_from_pytorch_to_a_third_kind_is_compared_with_what_stands_in_for_it(verdict: str | None) -> None:
    world = World(lambda *_: verdict, BOTH)
    outcomes = world.run("press? compile")
    assert world.compared == [("toy: net compile", "toy: net press", True)]
    if verdict is None:
        assert told(outcomes)[1] == "compile refused: not needed: 'press' has made a toy model already"
    assert world.final(outcomes) == f"toy: net {'press' if verdict is None else 'compile'}"


def test_no_export_stands_in_for_a_step_to_a_third_kind() -> None:
    chain = steps("press? export")
    assert doomed(chain, TORCH, BOTH)
    outcomes = (world := World(target=BOTH)).run(chain)
    why = "after it, 'export' does not fit: there is a toy model"
    assert told(outcomes) == [f"press dropped: it could not be judged: {why}", "export applied"]
    assert world.final(outcomes) == "onnx: net export"


def test_the_lossless_and_the_lossy_are_told_apart_in_a_third_kind() -> None:
    world = World(target=BOTH)
    world.run("lower? round?", ONNX)
    assert world.compared == [
        ("onnx: net", "toy: net lower", False),
        ("toy: net lower", "toy: net lower round", True),
    ]


@pytest.mark.parametrize("does", ["refuse", "fail", "crash", "change"])
def test_a_required_step_to_a_third_kind_ends_the_run(does: str) -> None:
    found = problem(World(target=BOTH), steps("export lower", lower={"does": does}))
    assert found.what in {
        "'lower' does not apply: there is nothing to do", "it cannot be done", "the pass 'lower' failed",
        "a lossless pass changed the model's results",
    }  # fmt: skip
    assert found.where in {"toy: 2 lower", "pass 'lower' (step 2)"}


def test_a_step_that_takes_the_third_kind_alone_says_which_step_would_have_made_it() -> None:
    left = steps("lower? round", lower={"does": "refuse"})
    found = problem(World(target=BOTH), left, ONNX)
    assert found == Problem(
        "'round' does not fit here", "toy: 2 round", "an ONNX model, since 'lower' was refused: there is nothing to do",
        "a toy model", "leave `optional` out of 'lower'",
    )  # fmt: skip


def test_a_target_that_does_not_run_the_third_kind_keeps_no_optional_step_to_it() -> None:
    outcomes = (world := World()).run("export lower?")
    assert told(outcomes)[1] == "lower dropped: it could not be judged: no required step makes a model to ship of it"
    assert world.final(outcomes) == "onnx: net export"


def test_a_step_that_changes_nothing_is_not_what_the_chain_starts_with() -> None:
    chain = steps("rewrite either quantize", rewrite={"does": "nothing"})
    assert (world := World()).baseline(world.run(chain)) == "onnx: net either"


def test_the_baseline_is_exported_as_the_recipe_says() -> None:
    world = World()
    outcomes = world.run(steps("rewrite compress? export", export={"only_after": "net"}))
    done = len(world.worked)
    assert world.baseline(outcomes) == "onnx: net export"
    assert world.worked[done:] == ["torch: net > export"]
    chain = steps("compress? export", export={"only_after": "net"})
    assert world.baseline(world.run(chain)) == "onnx: net export"
    assert len(world.worked) == done + 2  # compress; what export made of the source was there


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Step], Kind, set[str], Target]:
    """Steps, the kind of the source, the names of passes that the guard finds no gain in, and what runs results.

    Most steps take what the ones before them make, and most required ones work: of any steps nearly all chains end.
    """
    start = kind = draw(st.sampled_from([TORCH, ONNX, TOY]))
    made = []
    for _ in range(draw(st.integers(1, 6))):
        fit = sorted(each.name for each in PASSES.values() if kind in each.accepts)
        name = draw(st.sampled_from(fit if draw(st.integers(0, 5)) else sorted(PASSES)))
        optional = draw(st.booleans())
        may = ["nothing", "change", "refuse", "fail", "crash"] if optional or not draw(st.integers(0, 9)) else []
        made.append(Step(name=name, config=Toy(does=draw(st.sampled_from(["work"] * 5 + may))), optional=optional))
        kind = PASSES[name].produces
    target = draw(st.sampled_from([Target(), BOTH, BOTH, Target(runtime="toys"), Target(runtime="auto")]))
    return made, start, draw(st.sets(st.sampled_from(sorted(PASSES)))), target


def does(step: Step) -> str:
    """Return what a toy is told to do."""
    assert isinstance(step.config, Toy)
    return step.config.does


def doomed(chain: list[Step], kind: Kind, target: Target) -> bool:
    """Whether the run may end with an error: the steps do not fit, or one that must work does not."""
    wanted = recipe().model_copy(update={"passes": tuple(chain), "target": target})
    broken = any(
        not step.optional
        and (does(step) in {"refuse", "fail", "crash"} or (does(step) == "change" and not PASSES[step.name].lossy))
        for step in chain
    )  # fmt: skip
    return broken or any(misfits(kind, wanted, PASSES))


def replayed(outcomes: list[Outcome], kind: Kind) -> str:
    """Return what the steps that were kept make of the source."""
    words = ["net"]
    for each in outcomes:
        if each.kept is not None:
            kind = PASSES[each.step.name].produces
            mark = {"work": "", "change": "!"}.get(does(each.step))
            words += [] if mark is None else [each.step.name + mark]
    return f"{kind}: {' '.join(words)}"


def shipped(target: Target) -> tuple[str, ...]:
    """Return how the texts of models begin that the target's runtimes run."""
    runs = {"onnxruntime": ONNX, "toys": TOY, "torch": TORCH}
    return tuple(f"{runs[name]}: " for name in target.runtimes or runs)


@pytest.mark.heavy
@settings(max_examples=150, deadline=None)
@given(chains())
def test_what_holds_of_every_chain(drawn: tuple[list[Step], Kind, set[str], Target]) -> None:
    chain, kind, useless, target = drawn
    world = World(lambda _best, new: "no gain" if useless & set(new.replace("!", "").split()) else None, target)
    try:
        outcomes = world.run(chain, kind)
        final = world.final(outcomes, kind)
    except PassError:
        assert doomed(chain, kind, target)
        return
    assert [each.step for each in outcomes] == chain
    assert final == replayed(outcomes, kind)
    assert final.startswith(shipped(target))
    for each in outcomes:
        if each.kept is None:
            assert each.status in {"dropped", "refused", "failed"}
            assert each.reason
            assert each.step.optional or str(each.reason).startswith("not needed: ")
        elif each.step.optional and does(each.step) != "nothing":
            assert each.trial == TrialVerdict(None)
    for best, new, _lossy in world.compared:
        assert best.startswith(shipped(target))
        assert new.startswith(shipped(target))
    if all(does(step) == "work" for step in chain if step.name == "export"):
        assert not set(world.baseline(outcomes, kind).split()) - {"toy:", "onnx:", "net", "export", "either"}
    again = world.run(chain, kind)
    assert [each.status for each in again] == ["cached" if each.kept is not None else each.status for each in outcomes]
    assert world.final(again, kind) == final
