"""Audio files: their headers, blocks of samples, whole clips (`load`). No header is trusted before it is checked."""

from __future__ import annotations

import math
import os
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from ontheflyspec import checks
from ontheflyspec.batch import Clip
from ontheflyspec.data import codec, coded, faults, riff
from ontheflyspec.data.channels import check_channel
from ontheflyspec.data.header import BLOCK, CODEC, INTEGER, PLAIN, Header, same
from ontheflyspec.data.stored import Status, Stored, as_stored, content, opened, status

_MARGIN = 256
"""Samples of the lower of two rates that are read beside a resampled part, for the resampler's filter."""
MOST_HZ, MOST_CHANNELS = 50_000_000, 1024
"""Of a header that is believed; more channels no decoder takes."""


def probe(file: Stored) -> Header:
    """Returns the checked header of a file, or raises BadFile."""
    try:
        with opened(file, buffering=0) as one:
            known = status(one)
            plain = riff.probe(one, known)
    except OSError as problem:
        raise faults.from_os(problem) from None
    header = plain or _decoded(file, known)
    if header.frames == 0:
        raise faults.BadFile(faults.EMPTY, "0 frames")
    if not 1 <= header.rate <= MOST_HZ or not 1 <= header.channels <= MOST_CHANNELS:
        raise faults.BadFile(faults.UNREADABLE, f"a header of {header.rate} Hz and {header.channels} channels")
    return header


def _decoded(file: Stored, known: Status) -> Header:
    """Returns the header of a file that takes a decoder: libsndfile, else torchcodec."""
    try:
        return coded.probe(file, known)
    except faults.BadFile as bad:
        if bad.code != faults.UNREADABLE:
            raise
        return codec.probe(file, known, bad)


def read_into(file: Stored, header: Header, start: int, out: NDArray[Any]) -> None:
    """Fills ``out`` (``[n]`` of one channel or ``[n, channels]``, int16 or float32) from frame ``start`` on.

    Raises BadFile unless every frame is there, finite, and of the rate and channels of ``header``.
    """
    read = _read_plain if header.layout & PLAIN else codec.read_into if header.layout & CODEC else coded.read_into
    read(file, header, start, out)
    if not header.layout & INTEGER and not _finite(out):
        place = int(np.flatnonzero(~np.isfinite(out))[0])
        frame = start + place // (out.size // len(out))
        raise faults.BadFile(faults.NOT_FINITE, f"{out.flat[place]} at frame {frame}")


def resample(wave: NDArray[Any], old: int, new: int) -> NDArray[Any]:
    """Returns ``ceil(n * new / old)`` frames of a float32 wave ``[n]`` or ``[n, channels]`` at another rate.

    Matches: soxr at its default quality (tests/data/test_audio.py).
    """
    if old == new:
        return wave
    import soxr

    frames = -(-len(wave) * new // old)
    tail = np.zeros((1 + 2 * -(-old // new), *wave.shape[1:]), wave.dtype)
    return np.asarray(soxr.resample(np.concatenate([wave, tail]), old, new)[:frames])


def source_part(start: int, length: int, span: int, old: int, new: int) -> tuple[int, int, int]:
    """Returns first and last frame to read of a file at rate ``old``, and the samples at rate ``new`` to skip then.

    ``start`` is a multiple of the period after which both rates meet again, so the part's samples fall where those of
    the whole clip fall.
    """
    common = math.gcd(old, new)
    before, after = old // common, new // common
    margin = -(-_MARGIN * -(-old // new) // before) * before
    first = max(0, start // after * before - margin)
    last = min(span, -(-(start + length) * old // new) + margin)
    return first, last, start - first // before * after


def mix(block: NDArray[Any]) -> NDArray[Any]:
    """Returns the mean over the channels of a float block ``[n, channels]``."""
    if block.shape[1] == 1:
        return block[:, 0]
    total: NDArray[Any] = block[:, 0] + block[:, 1]
    for channel in range(2, block.shape[1]):
        total += block[:, channel]
    total *= np.float32(1 / block.shape[1])
    return total


def load(
    path: str | os.PathLike[str] | bytes | BinaryIO,
    *,
    sample_rate: int | None = None,
    dtype: torch.dtype | None = torch.float32,
    channel: int | None = None,
) -> Clip:
    """Reads one audio file whole.

    WAV, FLAC, OGG, Opus, MP3, AIFF and whatever else libsndfile knows. Truncated files, files without a frame and
    files that hold NaN are errors.

    Args:
        path: the file, or what it holds as bytes, or an open binary file, which is read from where it stands.
        sample_rate: Hz to resample to, None to keep the file's rate.
        dtype: ``torch.float32``, or None for int16 (meaning value / 32768) where the file has integers of at most 16
            bits and keeps its rate.
        channel: number of the one channel that is wanted, from 0; None for all.

    Shape:
        ``[T]`` of one channel, else ``[C, T]``; resampled to exactly ``ceil(n * sample_rate / rate)`` samples.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable or damaged file.

    Matches:
        soundfile.read in float32 and soxr.resample, tests/data/test_audio.py.

    Example:
        >>> import numpy, soundfile, tempfile, ontheflyspec as ofs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/a.wav", numpy.zeros(4410), 44_100)
        ...     clip = ofs.load(f"{folder}/a.wav", sample_rate=16_000)
        >>> clip.wave.shape, clip.rate
        (torch.Size([1600]), 16000.0)
    """
    name = as_stored("load", path)
    stored = content(name)
    rate = None if sample_rate is None else whole_rate("load", sample_rate)
    dtype = checks.sample_dtype("load", dtype)
    channel = None if channel is None else checks.integer("load", "channel", channel, low=0)
    try:
        header = probe(stored)
        integer = dtype is None and header.layout & INTEGER and rate in (None, header.rate)
        block = np.empty((header.frames, header.channels), np.int16 if integer else np.float32)
        read_into(stored, header, 0, block)
    except faults.BadFile as bad:
        raise faults.error("load", name, bad) from None
    if channel is not None:
        check_channel("load", channel, header.channels, name)
        block = block[:, channel : channel + 1]
    block = resample(block, header.rate, rate or header.rate)
    wave = np.ascontiguousarray(block.T)
    return Clip(torch.from_numpy(wave[0] if len(wave) == 1 else wave), float(rate or header.rate))


def whole_rate(where: str, value: Any) -> int:
    """Returns a sample rate in whole Hz, or raises."""
    rate = checks.positive(where, "sample_rate", value)
    if rate != round(rate):
        raise ValueError(checks.message(where, "sample_rate in whole Hz", value, "Round it."))
    return round(rate)


def _read_plain(stored: Stored, header: Header, start: int, out: NDArray[Any]) -> None:
    try:
        with opened(stored, buffering=0) as file:
            if status(file) != (header.size, header.changed):
                now = probe(stored)
                same(header, now.frames, now.rate, now.channels)
                if now.layout != header.layout:
                    raise faults.BadFile(faults.CHANGED, "another sample format")
                header = now
            width = 2 if header.layout & INTEGER else 4
            file.seek(header.offset + start * header.channels * width)
            flat = out.reshape(-1)
            if out.itemsize == width:
                _fill(file, flat)
                return
            scratch = np.empty(min(BLOCK, len(flat)), np.int16)
            for place in range(0, len(flat), BLOCK):
                part = flat[place : place + BLOCK]
                _fill(file, scratch[: len(part)])
                np.multiply(scratch[: len(part)], np.float32(1 / 32768), out=part)
    except OSError as problem:
        raise faults.from_os(problem) from None


def _fill(file: Any, out: NDArray[Any]) -> None:
    """Reads bytes until ``out`` is full."""
    got = file.readinto(out)
    while got < out.nbytes:
        more = file.readinto(out.view(np.uint8)[got:])
        if not more:
            raise faults.BadFile(faults.TRUNCATED, f"{got // out.itemsize} of {len(out)} samples")
        got += more


def _finite(block: NDArray[Any]) -> bool:
    """Returns whether all samples are finite: their sum is, or it overflowed and each of them is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(math.isfinite(block.sum()) or np.isfinite(block).all())
