"""Where the samples of a WAV file lie, so that plain ones are read without a decoder.

Reference: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft, 1991), chapter RIFF.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ENDLESS = (range(0x7FFF0000, 0x80000000), range(0xFFFF0000, 0x100000000))
"""Sizes of nearly 2 and 4 GiB are what programs write that cannot seek back in a pipe."""


class Wav(NamedTuple):
    """What the header of a WAV file says, and what the file holds.

    Args:
        tag: format of the samples, 1 for integers, 3 for floats.
        bits: bits per sample.
        channels: channels per frame.
        rate: frames per second.
        offset: bytes before the first sample.
        frames: whole frames in the file.
        promised: frames that the header speaks of.
    """

    tag: int
    bits: int
    channels: int
    rate: int
    offset: int
    frames: int
    promised: int


def parse(file: BinaryIO, size: int) -> Wav | None:
    """Returns what a WAV file of ``size`` bytes says, None if it is no RIFF WAVE file with format and data.

    A data size left open by a program that wrote into a pipe or was stopped (nearly 2 or 4 GiB where the file holds
    less, or 0 with a RIFF size that is wrong, too) means: up to the end of the file.
    """
    head = file.read(4096)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None

    def peek(place: int, count: int) -> bytes:
        if place + count <= len(head):
            return head[place : place + count]
        file.seek(place)
        return file.read(count)

    fmt, place = b"", 12
    while len(chunk := peek(place, 8)) == 8:
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            return _wav(fmt, place + 8, length, size, struct.unpack("<I", head[4:8])[0])
        if name == b"fmt ":
            fmt = peek(place + 8, min(length, 40))
        place += 8 + length + length % 2
    return None


def _wav(fmt: bytes, offset: int, length: int, size: int, riff: int) -> Wav | None:
    if len(fmt) < 16:
        return None
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack("<H", fmt[24:26])[0]
    if block == 0 or channels == 0 or block * 8 != channels * bits:
        return None
    held = size - offset
    endless = any(length in sizes for sizes in _ENDLESS) and held < _ENDLESS[0].start
    promised = held if endless or (length == 0 and riff + 8 != size) else length
    return Wav(tag, bits, channels, rate, offset, min(held, promised) // block, promised // block)
