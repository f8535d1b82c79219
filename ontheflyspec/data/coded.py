"""Audio files that libsndfile decodes: FLAC, OGG, MP3 and all but plain WAV."""

from __future__ import annotations

import functools
import os
import re
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ontheflyspec.data import faults
from ontheflyspec.data.header import BLOCK, COUNTED, FORWARD, INTEGER, Header, same

_SMALL = ("PCM_16", "PCM_S8", "PCM_U8")
_CLAIMED = re.compile(r"^ *(riff|Riff size|FORM|SSND|data|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_FRAMES_PER_BYTE = 8192
"""More frames than any codec packs into a byte of silence: a header that claims more is wrong."""

_OPENING = threading.Lock()
"""soundfile opens one file at a time, under a lock that a process forked at that moment would never see free again."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_OPENING.acquire, after_in_parent=_OPENING.release, after_in_child=_OPENING.release)


def probe(path: str, status: os.stat_result) -> Header:
    """Returns the header of a file as libsndfile reads it."""
    if _lacks_end(path, status.st_size):
        raise faults.BadFile(faults.TRUNCATED, "no last page")
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
    for chunk, promised, held in _CLAIMED.findall(notes):
        if int(promised) > int(held) + (0 if chunk in ("SSND", "data", "Data Size") else 8):
            raise faults.BadFile(faults.TRUNCATED, f"{held} of {promised} bytes in chunk {chunk}")
    if frames > _FRAMES_PER_BYTE * status.st_size:
        raise faults.BadFile(faults.TRUNCATED, f"{status.st_size} bytes for {frames} frames")
    return header


def _lacks_end(path: str, size: int) -> bool:
    """Returns whether an Ogg file was cut short: its last page is incomplete or not marked as the end of the stream."""
    with open(path, "rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(max(0, size - 2**17))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    return len(page) < 27 or not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


def _tells_frames(path: str) -> bool:
    """Returns whether an MP3 file begins with a Xing, Info or VBRI tag, which tells the number of frames."""
    with open(path, "rb") as file:
        head = file.read(10)
        skip = 0
        if head[:3] == b"ID3":
            skip = 10 + functools.reduce(lambda total, byte: total << 7 | byte & 127, head[6:10], 0)
        file.seek(skip)
        frame = file.read(512)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


def _count(file: Any) -> int:
    """Counts the frames of a file by decoding all of it."""
    block = np.empty((BLOCK, file.channels), np.float32)
    total = 0
    while got := _decode(file, block):
        total += got
    return total


def read_into(path: str, header: Header, start: int, out: NDArray[Any]) -> None:
    """Fills ``out`` from frame ``start`` on, or raises BadFile."""
    import soundfile

    with _open(path) as file:
        frames = header.frames if header.layout & COUNTED else file.frames
        same(header, frames, file.samplerate, file.channels)
        if start and header.layout & FORWARD:
            block = np.empty((BLOCK, header.channels), out.dtype)
            for place in range(0, start, BLOCK):
                _decode(file, block[: start - place])
        elif start:
            try:
                file.seek(start)
            except soundfile.LibsndfileError as problem:
                raise faults.BadFile(faults.TRUNCATED, f"no frame {start} ({problem})") from None
        got = _decode(file, out)
    if got < len(out):
        raise faults.BadFile(faults.TRUNCATED, f"{start + got} of {header.frames} frames")


def _decode(file: Any, out: NDArray[Any]) -> int:
    """Decodes the next frames into ``out``; returns how many there were."""
    import soundfile

    try:
        return len(file.read(out=out))
    except soundfile.LibsndfileError as problem:
        raise faults.BadFile(faults.TRUNCATED, f"a frame that does not decode ({problem})") from None


def _open(path: str) -> Any:
    """Returns a file open in libsndfile (by its path: so the interpreter lock is free while it decodes)."""
    import soundfile

    try:
        with _OPENING:
            file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as problem:
        try:
            open(path, "rb").close()
        except OSError as cause:
            raise faults.from_os(cause) from None
        raise faults.BadFile(faults.UNREADABLE, problem.error_string.rstrip(".")) from None
    file.seekable = _never  # else each read ends with a seek to where it is, which costs codecs a search
    return file


def _never() -> bool:
    return False
