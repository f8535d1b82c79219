"""MPEG audio (MP3): frames found by their headers, and streams that a decoder reads whole and without a word.

Decoders guess the length of a file from its size unless a Xing tag tells it, and stop there: of variable bit rate, or
of several files joined, they read a part. So the frames are counted, what lies between them (tags of players) is left
out, and a Xing tag is put in front where there is none that tells the truth.

Reference: ISO/IEC 11172-3 and 13818-3, 2.4.1 (frames); Xing's and LAME's tags as mp3-tech.org describes them.
"""

from __future__ import annotations

import functools
import io
import re
import struct
from typing import BinaryIO, NamedTuple

from ontheflyspec.data import faults
from ontheflyspec.data.faults import BadFile

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz by version (3 for MPEG-1, 2 for MPEG-2, 0 for MPEG-2.5) and index."""
_BITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BITS_OF_II = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
"""Kilobits a second by index, of MPEG-1's layer III, of MPEG-2's layers II and III, and of MPEG-1's layer II."""
_TAG = re.compile(rb"ID3|TAG|APETAGEX|LYRICSBEGIN|\x00+")
_RESERVOIR = 511
"""Most bytes before a frame that its sound may begin in."""
_OTHERS: tuple[bytes, ...] = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"caff", b".snd", b"fLaC", b"OggS", b"riff", b"NIST")
_OTHERS += (b"Crea", b"2BIT", b"\x1aE\xdf\xa3", b"0&\xb2u")
"""What files of other formats begin with, which may hold such frames as well."""
_DECODER = 529
"""Samples of a decoder's own delay."""
_FIRST = 65_536
"""Bytes behind the tags within which frames begin."""
_ENOUGH = _FIRST + 16_384
"""Bytes that hold the first frames."""
_SLACK = 4096
"""Bytes of tags at the end that a Xing tag need not know of."""


class Frame(NamedTuple):
    """Header of a frame.

    Args:
        size: bytes of the frame.
        version: as in `_RATES`.
        rate: Hz.
        channels: 1 or 2.
        layer: 2 or 3.
    """

    size: int
    version: int
    rate: int
    channels: int
    layer: int

    @property
    def samples(self) -> int:
        """Samples a channel."""
        return 1152 if self.version == 3 else 576

    @property
    def tag_offset(self) -> int:
        """Where a Xing tag begins in the frame: behind the side information."""
        return 4 + (17 if (self.channels == 2) != (self.version == 3) else 32 if self.channels == 2 else 9)


def frame_at(data: bytes, place: int) -> Frame | None:
    """Returns the header of a frame of layer II or III, None where there is none."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, bits, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer not in (2, 3) or rate == 3 or bits in (0, 15):
        return None
    hertz, half = _RATES[version][rate], version != 3 and layer == 3
    kilobits = _BITS_2[bits] if version != 3 else _BITS_1[bits] if layer == 3 else _BITS_OF_II[bits]
    size = (72_000 if half else 144_000) * kilobits // hertz + (head[2] >> 1 & 1)
    return Frame(size, version, hertz, 1 if head[3] >> 6 == 3 else 2, layer)


class Found(NamedTuple):
    """Frames of MPEG audio in a file.

    Args:
        layer: 2 or 3.
        told: samples a channel, rate and channels, where a Xing tag is to be trusted; else None.
    """

    layer: int
    told: tuple[int, int, int] | None


def tags_before(file: BinaryIO) -> int:
    """Returns how many bytes of tags and zeros a file begins with."""
    place = 0
    while True:
        file.seek(place)
        head = file.read(_ENOUGH if place == 0 else 65_536)
        if not head or _TAG.match(head) is None:
            return place
        place += _tag_size(head, 0)


def begins(data: bytes) -> int | None:
    """Returns where frames begin among bytes that follow the tags, None if they hold none.

    The rest of a frame that a recording of a stream begins with is left out, as are headers of its transport.
    """
    for found in re.compile(b"\xff").finditer(data, 0, _FIRST):
        place, frames = found.start(), 0
        while (frame := frame_at(data, place)) is not None and frames < 3:
            place, frames = place + frame.size, frames + 1
        if frames == 3 or (frames and (place >= len(data) or _TAG.match(data, place))):
            return found.start()
    return None


def find(file: BinaryIO, size: int) -> Found | None:
    """Returns the frames of an MP3, None for another format; raises BadFile for layer II that is cut short.

    Args:
        file: to look at.
        size: its bytes.
    """
    file.seek(0)
    head = file.read(12)
    if head.startswith(_OTHERS) or head[4:8] == b"ftyp":
        return None
    skipped = tags_before(file)
    file.seek(skipped)
    head = file.read(_ENOUGH)
    place = begins(head)
    frame = None if place is None else frame_at(head, place)
    if place is None or frame is None:
        return None
    if frame.layer == 2:
        file.seek(skipped)
        _walk(file.read(), place, frame)
        return Found(2, None)
    told = _told(head, place)
    if told is None or told.size is None or not told.delay:  # older encoders, which counted in other ways
        return Found(3, None)
    end = skipped + place + told.size
    file.seek(min(end, size))
    after = file.read(32)
    if size < end or size - end > _SLACK or (after and _TAG.match(after) is None):
        return Found(3, None)
    total = told.frames * frame.samples
    samples = min(total, total - told.padding + _DECODER) - told.delay - _DECODER
    return Found(3, (samples, frame.rate, frame.channels))


def clean(data: bytes) -> bytes:
    """Returns the frames of an MP3 file as a stream whose length a decoder knows, or raises BadFile.

    Args:
        data: the whole file, in which `find` has found frames.
    """
    skipped = tags_before(io.BytesIO(data))
    data = data[skipped:] if skipped else data
    first = begins(data[:_ENOUGH])
    frame = None if first is None else frame_at(data, first)
    if first is None or frame is None:
        raise BadFile(faults.CHANGED, "no frames of MPEG audio")
    (count, runs), told = _walk(data, first, frame), _told(data, first)
    extra = told is not None or data[first + 36 : first + 40] == b"VBRI"
    frames, count = b"".join(data[begin:end] for begin, end in runs), count - extra
    if told is None:
        told = _Told(0, None, 0, 0)
    # Some encoders count the tag's own frame.
    if told.frames > count + 1 or (told.frames > count and (told.size or 0) > len(frames)):
        raise BadFile(faults.TRUNCATED, f"{count} of {told.frames} frames of MPEG audio")
    if told.frames == count and told.size == len(frames):
        return frames
    frames = _ready(frames[frame.size :] if extra else frames)
    return _xing(data[first : first + 4], frame, count, len(frames), told) + frames


def _ready(frames: bytes) -> bytes:
    """Returns frames of which none refers to bits before the first: those that do become silent.

    Args:
        frames: of layer III.
    """
    place, held, made = 0, 0, bytearray(frames)
    while held < _RESERVOIR and (frame := frame_at(frames, place)) is not None:
        start = place + (4 if frames[place + 1] & 1 else 6)
        begin = int.from_bytes(frames[start : start + 2], "big") >> (7 if frame.version == 3 else 8)
        end = start + frame.tag_offset - 4
        if begin > held:
            made[start:end] = bytes(end - start)
            begin = 0
        place += frame.size
        held = begin + max(place - end, 0)  # what a decoder has kept before the next frame
    return bytes(made)


def _walk(data: bytes, place: int, first: Frame) -> tuple[int, list[tuple[int, int]]]:
    """Returns how many frames there are, and the runs of them without anything between; raises for damage and changes.

    Args:
        data: the stream.
        place: of the first frame.
        first: frame, of which all others have rate and channels.
    """
    runs, begin, count, last = list[tuple[int, int]](), place, 0, len(data)
    sizes = dict[bytes, int]()  # of headers that are right; there are few different ones
    while place < last:
        head = data[place : place + 4]
        size = sizes.get(head)
        if size is None:
            frame = frame_at(head, 0)
            if frame is None:
                if _TAG.match(data, place) is None:
                    raise BadFile(faults.TRUNCATED, f"no frame of MPEG audio at byte {place}")
                runs.append((begin, place))
                place = begin = place + _tag_size(data, place)
                continue
            if frame[2:] != first[2:]:
                got = f"{frame.rate} Hz and {frame.channels} channels after {first.rate} Hz and {first.channels}"
                raise BadFile(faults.JOINED, got)
            size = sizes[head] = frame.size
        if place + size > last:
            raise BadFile(faults.TRUNCATED, f"{last - place} of {size} bytes of frame {count}")
        place, count = place + size, count + 1
    return count, [*runs, (begin, min(place, last))]


def _tag_size(data: bytes, place: int) -> int:
    """Returns the bytes of a tag: ID3, ID3v1, APE, Lyrics3, or a run of zeros."""
    head = data[place : place + 32]
    if head[:3] == b"ID3" and len(head) >= 10:
        size = functools.reduce(lambda total, byte: total << 7 | byte & 127, head[6:10], 0)
        return size + (20 if head[5] & 16 else 10)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, _, flags = struct.unpack("<III", head[12:24])
        return 32 + (int(size) if flags & 1 << 29 else 0)
    if head[:11] == b"LYRICSBEGIN":
        found = re.compile(rb"LYRICS200|LYRICSEND").search(data, place)
        return (found.end() if found else len(data)) - place
    if head[:3] == b"TAG":
        return 227 if head[3:4] == b"+" else 128
    found = re.compile(b"\0+").match(data, place)
    return found.end() - place if found else len(head)


class _Told(NamedTuple):
    """What a Xing tag tells: frames, bytes of the stream, and samples to leave out at its start and end."""

    frames: int
    size: int | None
    delay: int
    padding: int


def _told(data: bytes, place: int) -> _Told | None:
    """Returns the facts in the Xing tag of a frame, None without one."""
    frame = frame_at(data, place)
    tag = place + (frame.tag_offset if frame else 0)
    if frame is None or data[tag : tag + 4] not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(data[tag + 4 : tag + 8], "big")
    if not flags & 1:
        return None
    frames, size = struct.unpack(">II", data[tag + 8 : tag + 16].ljust(8, b"\0"))
    encoder = tag + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    delays = int.from_bytes(data[encoder + 21 : encoder + 24], "big") if data[encoder : encoder + 1] > b"\0" else 0
    return _Told(frames, size if flags & 2 else None, delays >> 12, delays & 0xFFF)


def _xing(head: bytes, frame: Frame, count: int, size: int, told: _Told) -> bytes:
    """Returns the head of a stream: a Xing tag that tells how many frames follow.

    Args:
        head: header of a frame of the stream.
        frame: the same, read.
        count: frames that follow.
        size: their bytes.
        told: by the stream's own tag; what it leaves out at the end counts only if it knows all of the stream.
    """
    header = bytes([head[0], head[1] | 1, 0xE0 | head[2] & 0x0C, head[3]])  # the largest frame: there is room
    made = frame_at(header, 0)
    assert made is not None
    delay, padding, silence = told.delay, told.padding if told.frames == count else 0, b""
    if not delay:  # a frame of silence, of which the decoder leaves out all, as it always leaves out its own delay
        silence, delay = header.ljust(made.size, b"\0"), frame.samples - _DECODER
    body = struct.pack(">4sIII", b"Xing", 3, count + bool(silence), size + made.size + len(silence))
    body += b"LAME".ljust(21, b"\0") + (delay << 12 | padding).to_bytes(3, "big")
    return (header + bytes(frame.tag_offset - 4) + body).ljust(made.size, b"\0") + silence
