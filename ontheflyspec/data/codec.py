"""Audio files that libsndfile does not know, decoded by torchcodec where it is installed: m4a, webm and the like."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ontheflyspec.data import faults
from ontheflyspec.data.header import CODEC, Header, same
from ontheflyspec.data.stored import Status, Stored

EXTENSIONS: tuple[str, ...] = (".m4a", ".m4b", ".mp4", ".aac", ".webm", ".mka", ".mkv", ".mov", ".3gp", ".amr", ".wma")
EXTENSIONS += (".ac3", ".ape", ".wv", ".tta", ".spx", ".mpc", ".dsf", ".ra")
"""Endings of files that hold audio and that libsndfile does not read."""


@functools.cache
def _decoder() -> Any:
    """Returns torchcodec's decoder, or the error that it has met."""
    try:
        from torchcodec.decoders import AudioDecoder
    except (ImportError, OSError, RuntimeError) as problem:  # not installed, or without FFmpeg
        return problem
    return AudioDecoder


def there() -> bool:
    """Returns whether torchcodec is installed and finds FFmpeg."""
    return isinstance(_decoder(), type)


def probe(file: Stored, known: Status, why: faults.BadFile) -> Header:
    """Returns the header of a file by decoding it, since few containers tell their samples; or raises BadFile.

    Args:
        file: path or bytes.
        known: size and time of its last change.
        why: what libsndfile said.
    """
    wave, rate = _decode(file, why)
    return Header(wave.shape[1], rate, wave.shape[0], CODEC, 0, *known)


def read_into(file: Stored, header: Header, start: int, out: NDArray[Any]) -> None:
    """Fills ``out`` (float32) from frame ``start`` on, or raises BadFile."""
    wave, rate = _decode(file, faults.BadFile(faults.UNREADABLE, "what torchcodec could read before"))
    same(header, wave.shape[1], rate, wave.shape[0])
    part = wave[:, start : start + len(out)]
    out[...] = part[0] if out.ndim == 1 else part.T


def _decode(file: Stored, why: faults.BadFile) -> tuple[NDArray[np.float32], int]:
    """Returns all samples ``[C, n]`` and their rate."""
    if not there():
        raise why
    try:
        samples = _decoder()(file).get_all_samples()
    except (RuntimeError, ValueError) as problem:
        text = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise faults.BadFile(why.code, f"{why.detail}; by torchcodec: {text}") from None
    wave: NDArray[np.float32] = samples.data.numpy()
    return wave, int(samples.sample_rate)
