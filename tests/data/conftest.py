"""Audio files of all kinds, made when a test needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

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
