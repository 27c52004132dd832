"""What each recorded CPU gets, whatever machine the tests run on."""

from __future__ import annotations

import pytest

from mlopt.hardware import Hardware, parse
from mlopt.quantization.choice import Mode, Scheme, Work, choose_integers, choose_mode, objection

# Shortened from /proc/cpuinfo of real machines: the lines and flags that decide.
ZEN3 = "model name : AMD EPYC 7763 64-Core Processor\nflags : fpu sse4_1 sse4_2 avx f16c fma avx2 vaes\n"
CASCADE_LAKE = "model name : Intel(R) Xeon(R) Gold 6248\nflags : avx2 avx512f avx512bw avx512vl avx512_vnni\n"
SAPPHIRE_RAPIDS = "model name : Intel(R) Xeon(R) Platinum 8480C\nflags : avx2 avx512_vnni avx_vnni amx_tile amx_int8\n"
GRAVITON3 = "CPU part : 0xd40\nFeatures : fp asimd asimdhp asimddp sve i8mm bf16\n"
APPLE = ""  # macOS has no /proc/cpuinfo

CONV = Work(conv=1000, matmul=10, conv_nodes=5, matmul_nodes=1)
MATMUL = Work(conv=10, matmul=1000, conv_nodes=1, matmul_nodes=12)


def machine(cpuinfo: str, architecture: str) -> Hardware:
    return parse(cpuinfo, cores=2, memory_bytes=1 << 30).model_copy(update={"architecture": architecture})


@pytest.mark.parametrize(
    ("cpuinfo", "architecture", "scheme", "reduce_range"),
    [
        (ZEN3, "x86_64", Scheme.U8S8, True),
        (CASCADE_LAKE, "x86_64", Scheme.U8S8, False),
        (SAPPHIRE_RAPIDS, "x86_64", Scheme.U8S8, False),
        (GRAVITON3, "aarch64", Scheme.S8S8, False),
        (APPLE, "arm64", Scheme.S8S8, False),
    ],
    ids=["zen3", "cascade-lake", "sapphire-rapids", "graviton3", "apple"],
)
def test_static_scheme_follows_the_cpu(cpuinfo: str, architecture: str, scheme: Scheme, reduce_range: bool) -> None:
    chosen = choose_integers(Scheme.AUTO, None, Mode.STATIC, machine(cpuinfo, architecture))
    assert (chosen.scheme, chosen.reduce_range) == (scheme, reduce_range)


def test_dynamic_activations_are_unsigned_even_on_arm() -> None:
    assert choose_integers(Scheme.AUTO, None, Mode.DYNAMIC, machine(GRAVITON3, "aarch64")).scheme is Scheme.U8S8


def test_unsigned_weights_do_not_saturate() -> None:
    assert not choose_integers(Scheme.U8U8, None, Mode.STATIC, machine(ZEN3, "x86_64")).reduce_range


def test_signed_activations_do_not_save_signed_weights_from_saturating() -> None:
    assert choose_integers(Scheme.S8S8, None, Mode.STATIC, machine(ZEN3, "x86_64")).reduce_range


def test_what_the_recipe_states_is_kept_and_said() -> None:
    chosen = choose_integers(Scheme.U8S8, False, Mode.STATIC, machine(ZEN3, "x86_64"))
    assert (chosen.scheme, chosen.reduce_range, chosen.reason) == (Scheme.U8S8, False, "set in the recipe")


def test_the_reason_names_the_missing_instruction() -> None:
    assert "no VNNI" in choose_integers(Scheme.AUTO, None, Mode.STATIC, machine(ZEN3, "x86_64")).reason
    assert "VNNI" not in choose_integers(Scheme.AUTO, None, Mode.STATIC, machine(CASCADE_LAKE, "x86_64")).reason


def test_auto_mode_follows_the_work() -> None:
    assert choose_mode(Mode.AUTO, CONV) is Mode.STATIC
    assert choose_mode(Mode.AUTO, MATMUL) is Mode.DYNAMIC
    assert choose_mode(Mode.DYNAMIC, CONV) is Mode.DYNAMIC


def test_objections() -> None:
    nothing, conv_only = Work(0, 0, 0, 0), Work(1000, 0, 5, 0)
    assert objection(Mode.STATIC, Scheme.AUTO, CONV, calibrated=True) is None
    assert objection(Mode.DYNAMIC, Scheme.AUTO, MATMUL, calibrated=False) is None
    assert "nothing to quantize" in (objection(Mode.STATIC, Scheme.AUTO, nothing, calibrated=True) or "")
    assert "needs calibration data" in (objection(Mode.STATIC, Scheme.AUTO, CONV, calibrated=False) or "")
    assert "use mode static" in (objection(Mode.DYNAMIC, Scheme.AUTO, conv_only, calibrated=True) or "")
    assert "unsigned activations" in (objection(Mode.DYNAMIC, Scheme.S8S8, MATMUL, calibrated=True) or "")
