"""The architectures of the zoo: what people deploy, small, with random weights; each with the inputs that it takes.

timm, transformers and torchvision come out of a folder of their own (``make zoo`` fills it).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import zoo_by_hand as hand
from numpy.typing import NDArray

from mlopt.formats.torch.module import flatten

Size = int | str
SIZES = {"batch": (2, 3), "height": (64, 96), "width": (64, 128), "time": (12, 19), "samples": (1600, 2400)}
"""Per dimension: the size that mlopt sees, and the one at which its result is judged."""


@dataclass(frozen=True)
class Input:
    """A declared input: normally distributed, or whole numbers below ``below``."""

    shape: tuple[Size, ...]
    below: int = 0
    ones: bool = False
    """A mask that is 1 but for the last two places of every other row."""
    ascending: bool = False
    """Sorted along the last axis, as the corners of boxes are."""

    @property
    def dtype(self) -> str:
        """As a recipe names it."""
        return "int64" if self.below or self.ones else "float32"


@dataclass(frozen=True)
class Architecture:
    """How to make the module, and what it takes."""

    build: Callable[[], torch.nn.Module]
    inputs: Mapping[str, Input]
    origin: str


def build(name: str) -> torch.nn.Module:
    """Make the module, with weights that let what comes in through to what comes out.

    Many start with zeros, ones or values near zero, for the sake of training: they would hide what is wrong.
    """
    torch.manual_seed(0)
    module = ZOO[name].build().eval()
    with torch.no_grad():
        for value in module.parameters():
            usual = value[0].numel() ** -0.5 if value.ndim > 1 else 0.1
            if value.numel() < 2 or value.std() >= usual / 2:
                continue
            if value.max() == value.min():
                value.normal_(1.0 if value.flatten()[0] else 0.0, 0.2)
            else:
                value.mul_(usual / value.std())
    _settle(module, arrays(name, second=True, seed=3, count=16))
    return module


def _settle(module: torch.nn.Module, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Give batch normalizations the statistics of these inputs, as training does."""
    norms = [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    if norms:
        call(module, inputs)
    for norm in norms:
        norm.running_var.clamp_(min=float(norm.running_var.mean()) / 4)  # few samples: else what varies little explodes
        norm.eval()


def call(module: torch.nn.Module, inputs: Mapping[str, NDArray[Any]]) -> list[torch.Tensor]:
    """Call the module as people do: by keyword where it has such, else in order; return its tensors in order."""
    tensors = {key: torch.from_numpy(value.copy()) for key, value in inputs.items()}
    named = set(tensors) <= set(inspect.signature(module.forward).parameters)
    with torch.no_grad():
        return [value for _, value in flatten(module(**tensors) if named else module(*tensors.values()))]


def arrays(name: str, second: bool, seed: int, count: int = 0) -> dict[str, NDArray[Any]]:
    """Draw inputs of the first or second size; ``count`` replaces the batch."""
    random, made = np.random.default_rng(seed), {}
    for key, spec in ZOO[name].inputs.items():
        shape = [SIZES[size][second] if isinstance(size, str) else size for size in spec.shape]
        if count:
            shape[0] = count
        if spec.ones:
            made[key] = np.ones(shape, np.int64)
            made[key][::2, -2:] = 0
        elif spec.below:
            made[key] = random.integers(1, spec.below, shape)
            made[key] = np.sort(made[key]) if spec.ascending else made[key]
        else:
            of_sample = random.standard_normal((*shape[:2], *(1 for _ in shape[2:])))  # samples differ as a whole, too
            made[key] = (random.standard_normal(shape) + of_sample).astype(np.float32)
    return made


def _picture(size: int = 0, channels: int = 3) -> dict[str, Input]:
    return {"image": Input(("batch", channels, size or "height", size or "width"))}


def _text(*names: str, below: int = 99) -> dict[str, Input]:
    inputs = {"input_ids": Input(("batch", "time"), below), "attention_mask": Input(("batch", "time"), ones=True)}
    return {name: inputs[name] for name in names or inputs}


def _timm(name: str, size: int = 0, **options: Any) -> Architecture:
    def make() -> torch.nn.Module:
        import_packages()
        import timm

        module: torch.nn.Module = timm.create_model(name, num_classes=10, **options)
        return module

    return Architecture(make, _picture(size), "timm")


def _vision(name: str, **options: Any) -> Architecture:
    """A model of torchvision; its dictionary of results, if it gives one, stays as it is."""

    def make() -> torch.nn.Module:
        import_packages()
        from torchvision import models

        module: torch.nn.Module = models.get_model(name, weights=None, **options)
        return module

    return Architecture(make, _picture(), "torchvision")


def import_packages() -> None:
    """Make torchvision's Python importable: PyPI's build has operators that are for a CUDA build of PyTorch."""
    if "torchvision" not in sys.modules:
        _LIBRARIES.append(torch.library.Library("torchvision", "FRAGMENT"))
        for operator in ("nms", "qnms"):
            _LIBRARIES[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm  # noqa: F401 - it is there from here on
    import torchvision  # noqa: F401
    import transformers  # noqa: F401


_LIBRARIES: list[Any] = []
"""Operators last as long as what defined them."""


def _hugging(model: str, config: str, inputs: Mapping[str, Input], **options: Any) -> Architecture:
    """A model of transformers, as it is: what it returns stays a mapping."""

    def make() -> torch.nn.Module:
        import_packages()
        import transformers

        module: torch.nn.Module = getattr(transformers, model)(getattr(transformers, config)(**options))
        return module

    return Architecture(make, inputs, "transformers")


def _hand(make: Callable[[], torch.nn.Module], **inputs: Input) -> Architecture:
    return Architecture(make, inputs, "by hand")


def _detector_head() -> torch.nn.Module:
    import_packages()
    from torchvision.models import get_model

    whole = get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=5)
    return hand.RawDetector(whole.backbone, whole.head)


def _part(part: str, make: Architecture) -> Architecture:
    """A part of a model."""
    return Architecture(lambda: make.build().get_submodule(part), make.inputs, make.origin)


_BERT = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
_LLAMA = {
    **_BERT,
    "num_key_value_heads": 2,
    "use_cache": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SPEECH = {
    "vocab_size": 32, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (5, 2, 2), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
_SIGHT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 64,
    "patch_size": 16,
}  # fmt: skip
_PIXELS = {"pixel_values": Input(("batch", 3, 64, 64))}
_SOUND = {"input_values": Input(("batch", "samples"))}
_BOXES = {**_text(), "bbox": Input(("batch", "time", 4), 50, ascending=True)}
_CLIP_TEXT = {**_BERT, "eos_token_id": 2, "projection_dim": 16}

ZOO: dict[str, Architecture] = {
    "resnet18": _timm("resnet18"),
    "se_resnet18": _timm("seresnet18"),
    "mobilenet_v2": _timm("mobilenetv2_050"),
    "mobilenet_v3": _timm("mobilenetv3_small_050"),
    "mobilenet_v4": _timm("mobilenetv4_conv_small_050"),
    "mnasnet": _timm("mnasnet_small"),
    "efficientnet_lite0": _timm("efficientnet_lite0"),
    "efficientnet_b0": _timm("efficientnet_b0"),
    "regnet_x": _timm("regnetx_002"),
    "regnet_y": _timm("regnety_002"),
    "repvgg": _timm("repvgg_a0"),
    "convnext": _timm("convnext_atto"),
    "convnext_v2": _timm("convnextv2_atto"),
    "densenet121": _timm("densenet121"),
    "dla34": _timm("dla34"),
    "ghostnet": _timm("ghostnet_050"),
    "inception_v3": _timm("inception_v3", size=96),
    "hrnet": _timm("hrnet_w18_small"),
    "efficientformer": _timm("efficientformer_l1", size=224),
    "efficientformer_v2": _timm("efficientformerv2_s0", size=224),
    "mobilevit": _timm("mobilevit_xxs", size=64),
    "edgenext": _timm("edgenext_xx_small"),
    "fastvit": _timm("fastvit_t8", size=128),
    "vit": _timm("vit_tiny_patch16_224", size=64, img_size=64, depth=2),
    "deit": _timm("deit_tiny_distilled_patch16_224", size=64, img_size=64, depth=2),
    "swin": _timm("swin_tiny_patch4_window7_224", size=64, img_size=64, window_size=4, depths=(1, 1, 2, 1)),
    "maxvit": _timm("maxvit_rmlp_pico_rw_256", size=64, img_size=64),
    "cait": _timm("cait_xxs24_224", size=64, img_size=64, depth=2),
    "beit": _timm("beit_base_patch16_224", size=64, img_size=64, depth=2, embed_dim=96, num_heads=3),
    "mixer": _timm("mixer_s32_224", size=64, img_size=64),
    "poolformer": _timm("poolformer_s12"),
    "pvt_v2": _timm("pvt_v2_b0", size=64),
    "levit": _timm("levit_128s", size=224),
    "xcit": _timm("xcit_nano_12_p16_224", size=64, img_size=64, depth=2),
    "squeezenet": _vision("squeezenet1_1", num_classes=10),
    "shufflenet_v2": _vision("shufflenet_v2_x0_5", num_classes=10),
    "deeplab_v3": _vision("deeplabv3_mobilenet_v3_large", weights_backbone=None, num_classes=5),
    "lraspp": _vision("lraspp_mobilenet_v3_large", weights_backbone=None, num_classes=5),
    "ssdlite_head": Architecture(_detector_head, _picture(96), "torchvision"),
    "segformer": _hugging(
        "SegformerForSemanticSegmentation", "SegformerConfig", {"pixel_values": Input(("batch", 3, 64, 64))},
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 32, 64], decoder_hidden_size=32, num_labels=5,
    ),
    "mobilevit_deeplab": _hugging(
        "MobileViTForSemanticSegmentation", "MobileViTConfig", {"pixel_values": Input(("batch", 3, 64, 64))},
        image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32], num_attention_heads=4,
        aspp_out_channels=16, num_labels=5,
    ),
    "yolos": _hugging("YolosForObjectDetection", "YolosConfig", _PIXELS, num_detection_tokens=5, num_labels=4,
                      **{**_SIGHT, "image_size": [64, 64]}),
    "dinov2": _hugging("Dinov2Model", "Dinov2Config", _PIXELS, **_SIGHT),
    "bert": _hugging("BertModel", "BertConfig", _text(), **_BERT),
    "roberta": _hugging("RobertaModel", "RobertaConfig", _text(), **_BERT),
    "distilbert": _hugging("DistilBertModel", "DistilBertConfig", _text(), vocab_size=99, dim=32, n_layers=2, n_heads=4,
                           hidden_dim=64, max_position_embeddings=64),
    "albert": _hugging("AlbertModel", "AlbertConfig", _text(), embedding_size=16, **_BERT),
    "electra": _hugging("ElectraModel", "ElectraConfig", _text(), embedding_size=16, **_BERT),
    "deberta_v2": _hugging("DebertaV2Model", "DebertaV2Config", _text(), relative_attention=True, position_buckets=8,
                           pos_att_type=["p2c", "c2p"], **_BERT),
    "mpnet": _hugging("MPNetModel", "MPNetConfig", _text(), **_BERT),
    "modernbert": _hugging("ModernBertModel", "ModernBertConfig", _text(), pad_token_id=0, bos_token_id=1,
                           eos_token_id=2, cls_token_id=1, sep_token_id=2, **_BERT),
    "t5_encoder": _hugging("T5EncoderModel", "T5Config", _text(), vocab_size=99, d_model=32, d_kv=8, d_ff=64,
                           num_layers=2, num_heads=4),
    "layoutlm": _hugging("LayoutLMModel", "LayoutLMConfig", _BOXES, max_2d_position_embeddings=128, **_BERT),
    "gpt2": _hugging("GPT2LMHeadModel", "GPT2Config", _text(), vocab_size=99, n_positions=64, n_embd=32, n_layer=2,
                     n_head=4, use_cache=False),
    "llama": _hugging("LlamaForCausalLM", "LlamaConfig", _text(), **_LLAMA),
    "qwen2": _hugging("Qwen2ForCausalLM", "Qwen2Config", _text(), **_LLAMA),
    "mistral": _hugging("MistralForCausalLM", "MistralConfig", _text(), **_LLAMA),
    "whisper_encoder": _part("encoder", _hugging(
        "WhisperModel", "WhisperConfig", {"input_features": Input(("batch", 16, 64))}, d_model=32, encoder_layers=2,
        decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64,
        num_mel_bins=16, max_source_positions=32, vocab_size=99, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )),
    "wav2vec2": _hugging("Wav2Vec2ForCTC", "Wav2Vec2Config", _SOUND, **_SPEECH),
    "hubert": _hugging("HubertModel", "HubertConfig", _SOUND, **_SPEECH),
    "clip_text": _hugging("CLIPTextModelWithProjection", "CLIPTextConfig", _text(), **_CLIP_TEXT),
    "clip_vision": _hugging("CLIPVisionModelWithProjection", "CLIPVisionConfig", _PIXELS, projection_dim=16, **_SIGHT),
    "sam_encoder": _hugging("SamVisionModel", "SamVisionConfig", _PIXELS, window_size=2, global_attn_indexes=[1],
                            output_channels=16, num_pos_feats=8, mlp_dim=64, **_SIGHT),
    "lstm": _hand(hand.Lstm, x=Input(("batch", "time", 8))),
    "gru": _hand(hand.Gru, x=Input(("batch", "time", 8)), state=Input(("batch", 2, 16))),
    "tcn": _hand(hand.Tcn, x=Input(("batch", 8, "time"))),
    "crnn": _hand(hand.Crnn, x=Input(("batch", 1, 32, "width"))),
    "unet": _hand(hand.UNet, x=Input(("batch", 3, "height", "width"))),
    "yolo_head": _hand(hand.YoloHead, x=Input(("batch", 3, "height", "width"))),
    "gnn_scatter": _hand(hand.Gnn, x=Input(("batch", "time", 8)), edges=Input(("batch", "width", 2), 12)),
    "transformer_mask": _hand(hand.MaskedTransformer, ids=Input(("batch", "time"), 50)),
    "ft_transformer": _hand(hand.FtTransformer, numbers=Input(("batch", 6)), categories=Input(("batch", 3), 10)),
    "tabnet": _hand(hand.TabNet, x=Input(("batch", 12))),
    "two_tower": _hand(hand.TwoTower, user=Input(("batch", 4), 30), item=Input(("batch", 4), 30)),
}  # fmt: skip
