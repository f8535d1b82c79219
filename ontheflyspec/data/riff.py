"""RIFF headers: where the samples of a WAV file lie, so that plain ones are read without a decoder.

Reference: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft, 1991), chapter RIFF.
"""

from __future__ import annotations

import struct
import sys
from typing import BinaryIO

from ontheflyspec.data import faults
from ontheflyspec.data.header import INTEGER, PLAIN, Header
from ontheflyspec.data.stored import Status

_EXTENSIBLE = 0xFFFE
_LAYOUTS = {(1, 16): PLAIN | INTEGER, (3, 32): PLAIN} if sys.byteorder == "little" else {}
"""How to read samples without a decoder, by their tag (1 for integers, 3 for floats) and bits."""

_ENDLESS = (range(0x7FFF0000, 0x80000000), range(0xFFFF0000, 0x100000000))
"""Sizes of nearly 2 and 4 GiB are what programs write that cannot seek back in a pipe."""


def is_open(size: int, held: int) -> bool:
    """Returns whether a size of a chunk is left open, of which a file holds less."""
    return any(size in sizes for sizes in _ENDLESS) and held < _ENDLESS[0].start


def probe(file: BinaryIO, status: Status) -> Header | None:
    """Returns the header of a WAV file that takes no decoder, None for any other file.

    A data size left open by a program that wrote into a pipe or was stopped (nearly 2 or 4 GiB where the file holds
    less, or 0 with a RIFF size that is wrong, too) means: up to the end of the file. Raises BadFile if the file holds
    fewer frames than it says, whatever they take.
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
            riff = struct.unpack("<I", head[4:8])[0]
            return _header(fmt, place + 8, length, riff, status)
        if name == b"fmt ":
            fmt = peek(place + 8, min(length, 40))
        place += 8 + length + length % 2
    return None


def _header(fmt: bytes, offset: int, length: int, riff: int, status: Status) -> Header | None:
    """Returns the header of a WAV file, or None if its samples need a decoder.

    Args:
        fmt: its chunk of the format.
        offset: bytes before the first sample.
        length: bytes of samples, as the chunk of the data says.
        riff: bytes of the file, as its header says.
        status: of the file.
    """
    if len(fmt) < 16:
        return None
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack("<H", fmt[24:26])[0]
    if block == 0 or channels == 0 or block * 8 != channels * bits:
        return None
    held = status.size - offset
    promised = held if is_open(length, held) or (length == 0 and riff + 8 != status.size) else length
    if held // block < promised // block:
        raise faults.BadFile(faults.TRUNCATED, f"{held // block} of {promised // block} frames")
    layout = _LAYOUTS.get((tag, bits), 0)
    if not layout:
        return None
    return Header(promised // block, rate, channels, layout, offset, *status)
