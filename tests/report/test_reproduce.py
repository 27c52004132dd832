"""The commands that make and judge a result again."""

from __future__ import annotations

from typing import Any

from report_example import example_report

from mlopt.report import reproduce
from mlopt.results.report import MadeBy


def test_a_bench_is_done_again_as_a_bench() -> None:
    report = example_report()
    base, final = (report.final.model_copy(update={"name": name}) for name in ("a b.onnx", "c.onnx (2)"))
    bench = {"baseline": base, "references": {base.name: base}, "final": final, "steps": ()}
    synthetic, real = ({"bench": {"source": source}} for source in ("synthetic", "data.npz"))
    command, load = "mlopt bench c.onnx --against 'a b.onnx'", "--threads 2"
    assert reproduce.commands(example_report(**bench, data=synthetic)) == (f"{command} {load}",)
    assert reproduce.commands(example_report(**bench, data=real)) == (f"{command} --data data.npz {load}",)


def test_a_bench_is_done_again_under_the_same_load() -> None:
    def command(old: dict[str, Any], new: dict[str, Any]) -> str:
        final = example_report().final
        options = ({key: one[key] for key in one.keys() & {"threads", "concurrency"}} for one in (old, new))
        sizes = (one.get("batch_size") for one in (old, new))
        base, last = (
            final.model_copy(update={"name": name, "options": its, "batch_size": size})
            for name, its, size in zip("ab", options, sizes, strict=True)
        )
        bench = {"baseline": base, "references": {base.name: base}, "final": last, "steps": ()}
        (found,) = reproduce.commands(example_report(**bench, data={"bench": {"source": "synthetic"}}))
        return found.removeprefix("mlopt bench b --against a")

    load = {"threads": 1, "concurrency": 4, "batch_size": 8}
    assert command(load, load) == " --threads 1 --batch 8 --concurrency 4"
    assert command(load, load | {"threads": 2}) == " --batch 8 --concurrency 4"
    assert command({"threads": ["; rm"], "batch_size": 1}, {"threads": ["; rm"], "batch_size": 1}) == ""


def test_the_commands_quote_the_name() -> None:
    commands = reproduce.commands(example_report(name="a b; rm -rf x"))
    assert commands[1] == "mlopt verify 'artifacts/a b; rm -rf x'"


def test_a_run_is_done_again_as_it_was_done() -> None:
    made = MadeBy(command=("mlopt", "optimize", "a b.onnx", "--set", "x=1; rm -rf ~"), artifact="out/m")
    commands = reproduce.commands(example_report(made_by=made))
    assert commands == (
        "mlopt optimize 'a b.onnx' --set 'x=1; rm -rf ~'", "mlopt verify out/m", "mlopt gate out/m",
    )  # fmt: skip
