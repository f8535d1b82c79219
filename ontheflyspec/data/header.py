"""Header of an audio file: all that reading the file takes."""

from __future__ import annotations

from typing import NamedTuple

from ontheflyspec.data import faults

INTEGER, PLAIN, FORWARD, COUNTED, PIECES, CODEC = 1, 2, 4, 8, 16, 32
"""Ways to read a file, added up: its samples fit int16; they lie in it as they are (little endian, int16 or float32);
it must be decoded from the start (seeks are not exact); its frames were counted, as its header does not tell; it is
decoded from memory in pieces (Ogg chains) or without what is no audio (MP3); torchcodec decodes it."""

BLOCK = 1 << 15
"""Frames that pass through a work buffer at a time; they stay in the processor's cache."""


class Header(NamedTuple):
    """Facts of an audio file that reading it takes.

    Args:
        frames: samples per channel.
        rate: frames per second.
        channels: channels.
        layout: how to read it, a sum of ``INTEGER``, ``PLAIN`` and so on.
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


def same(header: Header, frames: int, rate: int, channels: int) -> None:
    """Raises unless a file is what it was when its header was read."""
    for name, old, new in zip(("frames", "Hz", "channels"), header[:3], (frames, rate, channels), strict=True):
        if old != new:
            raise faults.BadFile(faults.CHANGED, f"{new} {name} where there were {old}")
