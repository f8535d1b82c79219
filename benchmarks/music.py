"""Clips of unlike length: the files of a folder, or notes made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import ontheflyspec as ofs

ENDINGS = (".flac", ".mp3", ".ogg", ".opus", ".wav")
SYNTHETIC_S = (66.0, 26.8, 28.8, 96.4, 44.6)


def clips(folder: str | None, rate: int, seconds: float) -> ofs.PaddedBatch:
    """Returns clips in float32, all cut by the same factor so that the longest has that many seconds (0: uncut).

    Args:
        folder: where files are, at any depth; None for notes made here.
        rate: Hz to read them at.
        seconds: of the longest clip.
    """
    if folder is None:
        factor = min(1.0, seconds / max(SYNTHETIC_S)) if seconds else 1.0
        return ofs.pad(
            [notes(int(rate * length * factor), rate, seed) for seed, length in enumerate(SYNTHETIC_S)], rate=rate
        )
    paths = sorted(str(path) for path in Path(folder).rglob("*") if path.suffix.lower() in ENDINGS)
    dataset = ofs.AudioDataset(paths, sample_rate=rate, progress=False)
    loader = ofs.AudioLoader(dataset, [list(range(len(paths)))])
    waves = next(iter(loader)).unpad()
    factor = min(1.0, seconds * rate / max(len(wave) for wave in waves)) if seconds else 1.0
    return ofs.pad([wave[: int(len(wave) * factor)] for wave in waves], rate=rate)


def notes(samples: int, rate: int, seed: int) -> Tensor:
    """Returns notes of eight harmonics, two a second, each dying away, over soft noise."""
    draws = np.random.default_rng(seed)
    wave = 0.001 * draws.standard_normal(samples)
    for start in range(0, samples, rate // 2):
        s = np.arange(min(2 * rate, samples - start)) / rate
        pitch = 55 * 2 ** (draws.integers(0, 60) / 12)
        for harmonic in range(1, 9):
            tone = np.sin(2 * np.pi * harmonic * pitch * s) * np.exp(-3 * s)
            wave[start : start + len(s)] += 0.1 / harmonic * tone
    return torch.from_numpy(wave).float()
