"""Audio files that libsndfile does not know, decoded by torchcodec where it is installed: m4a, webm and the like."""

from __future__ import annotations

import functools
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ontheflyspec.data import faults
from ontheflyspec.data.header import CODEC, Header, same
from ontheflyspec.data.stored import Status, Stored, opened

EXTENSIONS: tuple[str, ...] = (".m4a", ".m4b", ".mp4", ".aac", ".webm", ".mka", ".mkv", ".mov", ".3gp", ".amr")
EXTENSIONS += (".ac3", ".ape", ".wv", ".tta", ".spx", ".mpc", ".dsf", ".ra")
"""Endings of files that hold audio and that libsndfile does not read."""
UNREAD = (".wma", ".asf", ".rm")
"""Endings of files that hold audio and that nothing here reads whole."""


_SNDFILE: tuple[bytes, ...] = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"caff", b".snd", b"fLaC", b"riff", b"NIST", b"Crea")
_SNDFILE += (b"ID3", b"0&\xb2u")
"""What files of libsndfile's formats begin with: if it cannot read them they are damaged. WMA is not read whole."""


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
    with opened(file) as one:
        head = one.read(64)
        if head[4:8] == b"ftyp":
            _check_boxes(one, known.size)
    if head.startswith(_SNDFILE):
        raise why
    if head[:4] == b"\x1aE\xdf\xa3":
        with opened(file) as one:
            _check_matroska(one.read())
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
        if isinstance(file, str) and not _is_text(file):  # torchcodec takes names in UTF-8 alone
            with opened(file) as one:
                file = one.read()
        samples = _decoder()(file).get_all_samples()
    except (RuntimeError, ValueError) as problem:
        text = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise faults.BadFile(why.code, f"{why.detail}; by torchcodec: {text}") from None
    wave: NDArray[np.float32] = samples.data.numpy()
    return wave, int(samples.sample_rate)


_SEGMENT, _CLUSTER = b"\x18S\x80g", b"\x1fC\xb6u"
"""Elements of Matroska that hold others, down to blocks of sound."""


def _check_matroska(data: bytes) -> None:
    """Raises where elements of a Matroska or WebM file do not follow each other: decoders go on without a word."""
    place, ends = 0, [len(data)]
    while place < ends[-1]:
        name, width = _vint(data, place)
        told, size_width = _vint(data, place + width)
        begin, unknown = place + width + size_width, told == (1 << 7 * size_width) - 1  # all ones
        end = ends[-1] if unknown else begin + told
        if not name or width > 4 or end > ends[-1]:
            raise faults.BadFile(faults.TRUNCATED, f"an element of Matroska that is cut or damaged at byte {place}")
        if data[place : place + width] in (_SEGMENT, _CLUSTER):
            if unknown:  # of a live stream: nobody knows where its parts end
                return
            ends.append(end)
            place = begin
        else:
            place = end
        while len(ends) > 1 and place == ends[-1]:
            ends.pop()


def _is_text(name: str) -> bool:
    """Returns whether a name can be written in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _vint(head: bytes, place: int) -> tuple[int, int]:
    """Returns a number of EBML, whose first bit that is set tells its width, and that width in bytes."""
    first = head[place] if place < len(head) else 255
    width = 9 - first.bit_length() if first else 8
    return int.from_bytes(head[place : place + width], "big") & (1 << 7 * width) - 1, width


def _check_boxes(file: BinaryIO, size: int) -> None:
    """Raises where the boxes of an MP4 file reach beyond its end."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(16).ljust(16, b"\0")
        length = int.from_bytes(head[:4], "big")
        length = int.from_bytes(head[8:], "big") if length == 1 else length or size - place  # 0: up to the end
        if place + length > size or length < 8:
            raise faults.BadFile(faults.TRUNCATED, f"{size - place} of {length} bytes of the segment {head[4:8]!r}")
        place += length
