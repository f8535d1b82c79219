"""Samples for files, and files that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

import ontheflyspec as ofs

RATE = 16_000

Wave = np.ndarray[Any, Any]


def tone(frames: int, *, seed: int = 0, channels: int = 1) -> Wave:
    """Returns a soft noise of its own for each seed, float64 in -0.5..0.5, ``[n]`` or ``[n, channels]``."""
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))
    return wave[:, 0] if channels == 1 else wave


def cut(path: str, part: float) -> str:
    """Cuts a file's end off and returns its path."""
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: int(len(whole) * part)])
    return path


def made(paths, targets=None, **options):
    return ofs.AudioDataset(paths, targets, **({"sample_rate": RATE} | options))


def samples(path, start=0, stop=None):
    return soundfile.read(path, dtype="float32", start=start, stop=stop)[0]


def floats(wave):
    return (wave.float() / 32768 if wave.dtype == torch.int16 else wave).numpy()
