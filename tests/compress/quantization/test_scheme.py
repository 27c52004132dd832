"""What each recorded CPU gets, whatever machine the tests run on."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnxruntime.quantization import QDQQuantizer, QuantType
from quantization_models import cnn

from mlopt.compress.quantization.scheme import PLACEMENTS, Mode, Scheme, Work, choose_integers, objection
from mlopt.core.hardware import Hardware, parse

RECORDED = Path(__file__).parents[2] / "hardware"
X86 = {"zen3", "cascade_lake", "cascade_lake_vnni_hidden", "sapphire_rapids"}
ARM = {"graviton3", "apple_m1_linux", "apple_m3_macos"}
SATURATING = {"zen3", "cascade_lake_vnni_hidden"}

CONV = Work(conv=1000, matmul=10, conv_nodes=5, matmul_nodes=1)
CONV_ONLY = Work(conv=1000, matmul=0, conv_nodes=5, matmul_nodes=0)
MATMUL = Work(conv=10, matmul=1000, conv_nodes=1, matmul_nodes=12)


def machine(name: str) -> Hardware:
    return parse((RECORDED / f"{name}.txt").read_text(encoding="utf-8"), cores=2, memory_bytes=1 << 30)


@pytest.mark.parametrize("mode", [Mode.STATIC, Mode.DYNAMIC])
@pytest.mark.parametrize("name", sorted(X86))
def test_x86_multiplies_unsigned_by_signed_and_saturates_without_vnni(name: str, mode: Mode) -> None:
    chosen = choose_integers(Scheme.AUTO, None, mode, machine(name))
    saturates = name in SATURATING
    assert (chosen.scheme, chosen.reduce_range, chosen.saturates) == (Scheme.U8S8, saturates, saturates)


@pytest.mark.parametrize(("mode", "scheme"), [(Mode.STATIC, Scheme.S8S8), (Mode.DYNAMIC, Scheme.U8S8)])
@pytest.mark.parametrize("name", sorted(ARM))
def test_arm_multiplies_signed_by_signed_and_never_saturates(name: str, mode: Mode, scheme: Scheme) -> None:
    chosen = choose_integers(Scheme.AUTO, None, mode, machine(name))
    assert (chosen.scheme, chosen.reduce_range, chosen.saturates) == (scheme, False, False)


def test_every_recorded_cpu_is_looked_at() -> None:
    assert {file.stem for file in RECORDED.glob("*.txt")} == X86 | ARM


def test_unsigned_weights_do_not_saturate() -> None:
    chosen = choose_integers(Scheme.U8U8, None, Mode.STATIC, machine("zen3"))
    assert (chosen.reduce_range, chosen.saturates) == (False, False)


def test_signed_activations_do_not_save_signed_weights_from_saturating() -> None:
    assert choose_integers(Scheme.S8S8, None, Mode.STATIC, machine("zen3")).reduce_range


def test_what_the_recipe_states_is_kept_and_what_the_cpu_does_is_still_known() -> None:
    chosen = choose_integers(Scheme.U8S8, False, Mode.STATIC, machine("zen3"))
    assert (chosen.scheme, chosen.reduce_range, chosen.reason) == (Scheme.U8S8, False, "set in the recipe")
    assert chosen.saturates
    assert choose_integers(Scheme.U8S8, True, Mode.STATIC, machine("cascade_lake")).reduce_range


def test_the_reason_names_the_missing_instruction() -> None:
    assert "no VNNI" in choose_integers(Scheme.AUTO, None, Mode.STATIC, machine("zen3")).reason
    assert "VNNI" not in choose_integers(Scheme.AUTO, None, Mode.STATIC, machine("cascade_lake")).reason


@pytest.mark.parametrize("name", sorted(X86 | ARM))
def test_tensorrt_gets_its_own_form_whatever_the_cpu(name: str) -> None:
    chosen = choose_integers(Scheme.AUTO, None, Mode.STATIC, machine(name), "tensorrt")
    assert (chosen.scheme, chosen.reduce_range, chosen.saturates) == (Scheme.S8S8, False, False)
    assert chosen.placement is PLACEMENTS["tensorrt"]
    assert choose_integers(Scheme.AUTO, None, Mode.STATIC, machine(name)).placement is PLACEMENTS["onnxruntime"]


def test_onnxruntimes_quantizer_knows_the_options_of_a_placement(tmp_path: Path) -> None:
    options = PLACEMENTS["tensorrt"].quantizer_options
    written = QDQQuantizer(
        onnx.load(cnn(tmp_path / "m.onnx")),
        True,
        False,
        QuantType.QInt8,
        QuantType.QInt8,
        {},
        [],
        [],
        ["Conv"],
        options,
    )
    assert (written.is_activation_symmetric, written.quantize_bias, written.dedicated_qdq_pair) == (True, False, True)


def test_objections_of_the_graph_and_the_data() -> None:
    nothing = Work(0, 0, 0, 0)
    assert objection(Mode.STATIC, Scheme.AUTO, CONV, calibrated=True) is None
    assert objection(Mode.DYNAMIC, Scheme.AUTO, MATMUL, calibrated=False) is None
    assert objection(Mode.WEIGHT_ONLY, Scheme.AUTO, MATMUL, calibrated=False) is None
    assert "nothing to quantize" in (objection(Mode.STATIC, Scheme.AUTO, nothing, calibrated=True) or "")
    assert "needs calibration data" in (objection(Mode.STATIC, Scheme.AUTO, CONV, calibrated=False) or "")
    assert "use mode static" in (objection(Mode.DYNAMIC, Scheme.AUTO, CONV_ONLY, calibrated=True) or "")
    assert "use mode static" in (objection(Mode.WEIGHT_ONLY, Scheme.AUTO, CONV_ONLY, calibrated=True) or "")
    assert "unsigned activations" in (objection(Mode.DYNAMIC, Scheme.S8S8, MATMUL, calibrated=True) or "")


def test_tensorrt_has_no_recurrent_layer() -> None:
    recurrent = Work(conv=0, matmul=0, conv_nodes=0, matmul_nodes=0, recurrent_nodes=2)
    told = objection(Mode.STATIC, Scheme.AUTO, recurrent, calibrated=True, runtime="tensorrt")
    assert told == "TensorRT has no LSTM in INT8"
    assert objection(Mode.STATIC, Scheme.S8S8, CONV, calibrated=True, runtime="tensorrt") is None
