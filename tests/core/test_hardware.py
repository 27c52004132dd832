"""Descriptions of CPUs, recorded on the machines themselves, read on any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopt.core.hardware import INSTRUCTIONS_OF, Hardware, detect, kind_of, parse

RECORDED = Path(__file__).parents[1] / "hardware"


def recorded(name: str) -> Hardware:
    return parse((RECORDED / f"{name}.txt").read_text(encoding="utf-8"), cores=1, memory_bytes=1)


@pytest.mark.parametrize(
    ("name", "cpu", "architecture", "dot"),
    [
        ("zen3", "AMD EPYC", "x86_64", False),
        ("cascade_lake", "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "x86_64", True),
        ("cascade_lake_vnni_hidden", "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "x86_64", False),
        ("sapphire_rapids", "Intel(R) Xeon(R) Platinum 8488C", "x86_64", True),
        ("graviton3", "Arm core 0xd40 of implementer 0x41", "aarch64", True),
        ("apple_m1_linux", "Arm core 0x000 of implementer 0x00", "aarch64", True),
        ("apple_m3_macos", "Apple M3", "arm64", True),
    ],
)
def test_name_architecture_and_int8_are_those_of_the_recorded_machine(
    name: str, cpu: str, architecture: str, dot: bool
) -> None:
    found = recorded(name)
    assert (found.cpu, found.architecture, found.has_int8_dot) == (cpu, architecture, dot)


def test_linux_and_macos_name_the_same_sets_alike() -> None:
    assert {"asimd", "asimddp", "asimdhp", "i8mm", "bf16"} <= set(recorded("apple_m3_macos").isa)
    assert {"asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve"} == set(recorded("graviton3").isa)
    assert "i8mm" not in recorded("apple_m1_linux").isa


def test_a_set_that_macos_reports_as_absent_is_absent() -> None:
    found = parse("hw.optional.arm64: 1\nhw.optional.arm.FEAT_I8MM: 0\n", cores=1, memory_bytes=1)
    assert (found.architecture, found.isa) == ("arm64", ())


def test_amx_is_seen() -> None:
    assert {"amx_tile", "amx_int8", "amx_bf16", "avx512_vnni"} <= set(recorded("sapphire_rapids").isa)


def test_this_machine_has_a_name_cores_and_memory(tmp_path: Path) -> None:
    found = detect()
    assert found.cpu
    assert found.cores >= 1
    assert found.memory_bytes > 1 << 28
    unknown = detect(tmp_path / "absent")
    assert (unknown.architecture, unknown.cores) == (found.architecture, found.cores)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("zen3", "avx2"), ("cascade_lake", "vnni"), ("cascade_lake_vnni_hidden", "avx2"), ("sapphire_rapids", "bf16"),
        ("graviton3", None), ("apple_m3_macos", None),
    ],
)  # fmt: skip
def test_the_kind_of_an_x86_cpu_is_that_of_its_kernels(name: str, kind: str | None) -> None:
    assert recorded(name).cpu_kind == kind
    assert kind is None or kind in INSTRUCTIONS_OF


@pytest.mark.parametrize("name", ["zen3", "cascade_lake", "sapphire_rapids", "graviton3"])
def test_the_kind_can_be_told_from_what_a_report_has(name: str) -> None:
    assert kind_of(recorded(name).isa) == recorded(name).cpu_kind
