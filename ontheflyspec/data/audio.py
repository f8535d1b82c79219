"""Audio files: what their headers say, blocks of their samples, whole clips; nothing that a file says is trusted."""

from __future__ import annotations

import functools
import math
import os
import re
import sys
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ontheflyspec import checks
from ontheflyspec.batch import Clip
from ontheflyspec.data import faults, riff
from ontheflyspec.data.faults import BadFile

INTEGER, PLAIN, FORWARD, COUNTED = 1, 2, 4, 8
"""Ways to read a file, added up: its samples fit int16; they lie in it as they are (little endian, int16 or float32);
it must be decoded from the start (seeks are not exact); its frames were counted, as its header does not tell."""

_SMALL = ("PCM_16", "PCM_S8", "PCM_U8")
_CLAIMED = re.compile(r"^ *(riff|Riff size|FORM|SSND|data|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_FRAMES_PER_BYTE = 8192
"""More than any codec gets out of a byte of silence; a header that claims more would only eat memory."""
_BLOCK = 1 << 15


class Header(NamedTuple):
    """What reading a file takes.

    Args:
        frames: samples per channel.
        rate: frames per second.
        channels: channels.
        layout: how to read it, a sum of ``INTEGER``, ``PLAIN``, ``FORWARD``, ``COUNTED``.
        offset: bytes before the first sample of a plain file.
        size: bytes of the file.
        changed: time of its last change in ns.
    """

    frames: int
    rate: int
    channels: int
    layout: int
    offset: int
    size: int
    changed: int


def probe(path: str) -> Header:
    """Returns the checked header of a file, or raises BadFile."""
    try:
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            wav = riff.parse(file, status.st_size)
    except OSError as problem:
        raise faults.from_os(problem) from None
    plain = _plain(wav)
    if wav is not None and wav.frames < wav.promised:
        raise BadFile(faults.TRUNCATED, f"{wav.frames} of {wav.promised} frames")
    if wav is not None and plain:
        header = Header(wav.frames, wav.rate, wav.channels, plain, wav.offset, status.st_size, status.st_mtime_ns)
    else:
        header = _probe_coded(path, status)
    if header.frames == 0:
        raise BadFile(faults.EMPTY, "0 frames")
    return header


def read_into(path: str, header: Header, start: int, out: NDArray[Any]) -> None:
    """Fills ``out`` (``[n]`` of one channel or ``[n, channels]``, int16 or float32) from frame ``start`` on.

    Raises BadFile unless every frame is there, finite, and of the rate and channels of ``header``.
    """
    read = _read_plain if header.layout & PLAIN else _read_coded
    read(path, header, start, out)
    if not header.layout & INTEGER and not _finite(out):
        place = int(np.argwhere(~np.isfinite(out))[0][0])
        raise BadFile(faults.NOT_FINITE, f"{out[place]} at frame {start + place}")


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


def mix(block: NDArray[Any]) -> NDArray[Any]:
    """Returns the mean over the channels of a float block ``[n, channels]``."""
    if block.shape[1] == 1:
        return block[:, 0]
    total: NDArray[Any] = block[:, 0] + block[:, 1]
    for channel in range(2, block.shape[1]):
        total += block[:, channel]
    total *= np.float32(1 / block.shape[1])
    return total


def load(path: str | os.PathLike[str], *, sample_rate: int | None = None) -> Clip:
    """Reads one audio file whole.

    WAV, FLAC, OGG, Opus, MP3, AIFF and whatever else libsndfile knows. Truncated files, files without a frame and
    files that hold NaN are errors.

    Args:
        path: the file.
        sample_rate: Hz to resample to, None to keep the file's rate.

    Shape:
        ``[T]`` float32 of one channel, else ``[C, T]``; resampled to exactly ``ceil(n * sample_rate / rate)`` samples.

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
    name = os.fspath(path)
    rate = None if sample_rate is None else whole_rate("load", sample_rate)
    try:
        header = probe(name)
        block = np.empty((header.frames, header.channels), np.float32)
        read_into(name, header, 0, block)
    except BadFile as bad:
        raise faults.error("load", name, bad) from None
    block = resample(block, header.rate, rate or header.rate)
    wave = np.ascontiguousarray(block.T)
    return Clip(torch.from_numpy(wave[0] if len(wave) == 1 else wave), float(rate or header.rate))


def whole_rate(where: str, value: Any) -> int:
    """Returns a sample rate in whole Hz, or raises."""
    rate = checks.positive(where, "sample_rate", value)
    if rate != round(rate):
        raise ValueError(checks.message(where, "sample_rate in whole Hz", value, "Round it."))
    return round(rate)


def _plain(wav: riff.Wav | None) -> int:
    """Returns how to read a WAV without a decoder, 0 if that cannot be."""
    if wav is None or sys.byteorder != "little":
        return 0
    return {(1, 16): PLAIN | INTEGER, (3, 32): PLAIN}.get((wav.tag, wav.bits), 0)


def _probe_coded(path: str, status: os.stat_result) -> Header:
    """Returns the header of a file as libsndfile reads it."""
    with _open(path) as file:
        frames, name, notes = file.frames, file.format, file.extra_info
        layout = INTEGER if file.subtype in _SMALL else 0
        if name == "MP3":
            layout |= FORWARD
            if not _tells_frames(path):
                frames, layout = _count(file), layout | COUNTED
        elif frames > 2**60:
            frames, layout = _count(file), layout | COUNTED | FORWARD
        header = Header(frames, file.samplerate, file.channels, layout, 0, status.st_size, status.st_mtime_ns)
    if name == "OGG" and not _ends_ogg(path, status.st_size):
        raise BadFile(faults.TRUNCATED, f"no last page after {frames} frames")
    for chunk, promised, held in _CLAIMED.findall(notes):
        if int(promised) > int(held) + (0 if chunk in ("SSND", "data", "Data Size") else 8):
            raise BadFile(faults.TRUNCATED, f"{held} of {promised} bytes in chunk {chunk}")
    if frames > _FRAMES_PER_BYTE * status.st_size:
        raise BadFile(faults.TRUNCATED, f"{status.st_size} bytes for {frames} frames")
    return header


def _ends_ogg(path: str, size: int) -> bool:
    """Returns whether the last page of an Ogg file is whole and says that the stream ends there."""
    with open(path, "rb") as file:
        file.seek(max(0, size - 2**17))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    return len(page) > 26 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _tells_frames(path: str) -> bool:
    """Returns whether the first frame of an MP3 file is a tag that says how many there are."""
    with open(path, "rb") as file:
        head = file.read(10)
        skip = 0
        if head[:3] == b"ID3":
            skip = 10 + functools.reduce(lambda total, byte: total << 7 | byte & 127, head[6:10], 0)
        file.seek(skip)
        frame = file.read(512)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


def _count(file: Any) -> int:
    """Returns the frames that a decoder gives."""
    block = np.empty((_BLOCK, file.channels), np.float32)
    total = 0
    while got := _decode(file, block):
        total += got
    return total


def _read_plain(path: str, header: Header, start: int, out: NDArray[Any]) -> None:
    try:
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (header.size, header.changed):
                now = probe(path)
                _same(header, now.frames, now.rate, now.channels)
                if now.layout != header.layout:
                    raise BadFile(faults.CHANGED, "another sample format")
                header = now
            width = 2 if header.layout & INTEGER else 4
            file.seek(header.offset + start * header.channels * width)
            flat = out.reshape(-1)
            if out.itemsize == width:
                _fill(file, flat)
                return
            scratch = np.empty(min(_BLOCK, len(flat)), np.int16)
            for place in range(0, len(flat), _BLOCK):
                part = flat[place : place + _BLOCK]
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
            raise BadFile(faults.TRUNCATED, f"{got // out.itemsize} of {len(out)} samples")
        got += more


def _read_coded(path: str, header: Header, start: int, out: NDArray[Any]) -> None:
    with _open(path) as file:
        frames = header.frames if header.layout & COUNTED else file.frames
        _same(header, frames, file.samplerate, file.channels)
        try:
            if start and not header.layout & FORWARD:
                file.seek(start)
            elif start:
                block = np.empty((_BLOCK, header.channels), out.dtype)
                for place in range(0, start, _BLOCK):
                    _decode(file, block[: start - place])
        except _module().LibsndfileError as problem:
            raise BadFile(faults.TRUNCATED, f"no frame {start} ({problem})") from None
        got = _decode(file, out)
    if got < len(out):
        raise BadFile(faults.TRUNCATED, f"{start + got} of {header.frames} frames")


def _same(header: Header, frames: int, rate: int, channels: int) -> None:
    """Raises unless a file is what it was when its header was read."""
    for name, old, new in (
        ("frames", header.frames, frames),
        ("Hz", header.rate, rate),
        ("channels", header.channels, channels),
    ):
        if old != new:
            raise BadFile(faults.CHANGED, f"{new} {name} where there were {old}")


def _finite(block: NDArray[Any]) -> bool:
    """Returns whether all samples are finite; a sum tells, unless finite samples are so large that it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(math.isfinite(block.sum()) or np.isfinite(block).all())


def _decode(file: Any, out: NDArray[Any]) -> int:
    """Returns the frames that a decoder put into ``out``."""
    try:
        return len(file.read(out=out))
    except _module().LibsndfileError as problem:
        raise BadFile(faults.TRUNCATED, f"a frame that does not decode ({problem})") from None


def _open(path: str) -> Any:
    """Returns a file open in libsndfile (by its path: so the interpreter lock is free while it decodes)."""
    module = _module()
    try:
        return _stream()(path)
    except module.LibsndfileError as problem:
        try:
            open(path, "rb").close()
        except OSError as cause:
            raise faults.from_os(cause) from None
        raise BadFile(faults.UNREADABLE, problem.error_string.rstrip(".")) from None


@functools.cache
def _module() -> Any:
    import soundfile

    return soundfile


@functools.cache
def _stream() -> Any:
    """Returns a SoundFile that does not seek to where it is after each read, which costs codecs a search."""

    class Stream(_module().SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return Stream
