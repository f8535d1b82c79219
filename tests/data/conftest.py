"""Audio files of all kinds, made when a test needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

import ontheflyspec as ofs
from tests.data.files import Wave, tone


@pytest.fixture
def audio(tmp_path: Path) -> Callable[..., str]:
    """Returns a function that writes a file below the test's folder and returns its path."""

    def write(name: str, wave: Wave | int, rate: int = 16_000, **options: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = tone(wave, seed=len(name) + wave) if isinstance(wave, int) else wave
        soundfile.write(
            str(path), data, rate, **({"subtype": "PCM_16"} if name.lower().endswith("wav") else {}) | options
        )
        return str(path)

    return write


@pytest.fixture
def clips(audio: Callable[..., str]) -> ofs.AudioDataset:
    """Returns 24 clips of all kinds, with classes."""
    paths = [audio(f"{place}.wav", 400 + 37 * place) for place in range(12)]
    paths += [audio(f"{place}.flac", 300 + 91 * place, 16_000 if place % 2 else 22_050) for place in range(6)]
    paths += [audio(f"f{place}.wav", tone(500 + 50 * place, channels=2), subtype="FLOAT") for place in range(6)]
    return ofs.AudioDataset(paths, [f"class {place % 5}" for place in range(24)], sample_rate=16_000, max_seconds=0.04)
