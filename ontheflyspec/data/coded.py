"""Audio files that libsndfile decodes: FLAC, OGG, MP3 and all but plain WAV."""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ontheflyspec.data import faults, mpeg, ogg, riff
from ontheflyspec.data.header import BLOCK, COUNTED, FORWARD, INTEGER, PIECES, Header, same
from ontheflyspec.data.stored import Status, Stored, for_decoders, opened

_SMALL = ("PCM_16", "PCM_S8", "PCM_U8")
_CLAIMED = re.compile(r"^ *(riff|Riff size|FORM|SSND|data|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_FRAMES_PER_BYTE = 8192
"""More frames than any codec packs into a byte of silence: a header that claims more is wrong."""
_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""Marker of a FLAC stream with the head of its first block."""

_OPENING = threading.Lock()
"""soundfile opens one file at a time, under a lock that a process forked at that moment would never see free again."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_OPENING.acquire, after_in_parent=_OPENING.release, after_in_child=_OPENING.release)


def probe(file: Stored, known: Status) -> Header:
    """Returns the header of a file as its frames, or libsndfile, tell it."""
    with _os_errors(), opened(file) as one:
        chained = one.read(4) == b"OggS" and one.seek(0) == 0 and len(ogg.links(one)) > 1
        found = None if chained else mpeg.find(one, known.size)
        _check_sphere(one, known.size)
    if found is not None and found.told is not None:
        return Header(*found.told, PIECES | FORWARD, 0, *known)
    pieces: Iterable[Stored] = [file]
    layout = 0
    if chained or (found is not None and found.layer == 3):
        pieces, layout = _links(file) if chained else _clean(file), PIECES
    frames, facts = 0, set[tuple[Any, ...]]()
    for piece in pieces:
        with _open(piece) as one:
            count = one.frames
            if "MPEG" in one.subtype or one.format == "MP3":
                if found is None:
                    raise faults.BadFile(faults.TRUNCATED, f"MPEG audio in {one.format} whose frames are not found")
                layout |= FORWARD
                if found.layer == 2:  # whose length is a guess
                    count, layout = _count(one), layout | COUNTED
            elif count > 2**60:
                count, layout = _count(one), layout | COUNTED | FORWARD
            _check_claims(one.extra_info, count)
            facts.add((one.samplerate, one.channels, one.subtype in _SMALL))
            frames += count
    if frames > _FRAMES_PER_BYTE * known.size:
        raise faults.BadFile(faults.TRUNCATED, f"{known.size} bytes for {frames} frames")
    if len(facts) > 1:
        got = " and ".join(sorted(f"{rate} Hz with {channels} channels" for rate, channels, _ in facts))
        raise faults.BadFile(faults.JOINED, got)
    rate, channels, small = facts.pop()
    return Header(frames, rate, channels, layout | (INTEGER if small else 0), 0, *known)


def read_into(file: Stored, header: Header, start: int, out: NDArray[Any]) -> None:
    """Fills ``out`` from frame ``start`` on, or raises BadFile."""
    done = first = 0
    for piece in _to_read(file, header):
        with _open(piece) as one:
            frames = header.frames if header.layout & COUNTED else one.frames
            same(header, header.frames, one.samplerate, one.channels)
            begin = start + done - first
            if begin < frames and done < len(out):
                done += _read(one, header, begin, out[done : done + frames - begin])
            first += frames
    same(header, first, header.rate, header.channels)
    if done < len(out):
        raise faults.BadFile(faults.TRUNCATED, f"{start + done} of {header.frames} frames")


def _to_read(file: Stored, header: Header) -> Iterable[Stored]:
    """Returns the streams to decode, one after the other: the file, or its pieces from memory."""
    if not header.layout & PIECES:
        alone = _single(file, header.size, header.changed) if isinstance(file, str) else _is_single(file)
        if not alone:
            raise faults.BadFile(faults.JOINED, "several FLAC streams")
        return [file]
    return _clean(file) if header.layout & FORWARD else _links(file)


def _links(file: Stored) -> Iterator[bytes]:
    """Yields the links of a chain of Ogg streams."""
    with _os_errors(), opened(file) as one:
        for begin, end in ogg.links(one):
            one.seek(begin)
            yield one.read(end - begin)


def _clean(file: Stored) -> Iterator[Stored]:
    """Yields an MP3 as a stream that decodes whole: the file itself if it is one."""
    with _os_errors(), opened(file) as one:
        data = one.read()
    made = mpeg.clean(data)
    yield file if made == data else made


@functools.lru_cache(1 << 16)
def _single(path: str, *_facts: int) -> bool:
    """Returns whether a file is one stream, and looks once at each as long as its facts stay."""
    return _is_single(path)


def _is_single(file: Stored) -> bool:
    """Returns whether a file is no FLAC files joined, of which decoders read the first alone."""
    with _os_errors(), opened(file) as one:
        head = one.read(4)
        if head != b"fLaC" and head[:3] != b"ID3":
            return True
        return len(_FLAC.findall(head + one.read())) < 2


def _check_claims(notes: str, frames: int) -> None:
    """Raises where a file holds less than its header says, in libsndfile's words; pipes leave that open."""
    for chunk, promised, held in _CLAIMED.findall(notes):
        spare = 8 if chunk in ("FORM", "Riff size") else 0
        if int(promised) > int(held) + spare and not riff.is_open(int(promised), int(held)):
            raise faults.BadFile(faults.TRUNCATED, f"{held} of {promised} bytes in chunk {chunk}")
    counted = re.search(r"^ *Frames *: (\d+)", notes, re.MULTILINE)
    if counted and frames < int(counted[1]) < 2**60:
        raise faults.BadFile(faults.TRUNCATED, f"{frames} of {counted[1]} frames")
    if "Seems to be a truncated file" in notes:
        raise faults.BadFile(faults.TRUNCATED, f"{frames} frames, fewer than its blocks say")


def _check_sphere(file: BinaryIO, size: int) -> None:
    """Raises where a NIST SPHERE file holds fewer samples than its header says."""
    file.seek(0)
    head = file.read(1024)
    if head[:7] != b"NIST_1A":
        return
    found = {name: int(value) for name, value in re.findall(rb"^(\w+) -i (\d+)", head, re.MULTILINE)}
    before = int(head[8:16].strip() or 1024)
    wanted = found.get(b"sample_count", 0) * found.get(b"channel_count", 1) * found.get(b"sample_n_bytes", 1)
    if size - before < wanted and b"shorten" not in head:
        raise faults.BadFile(faults.TRUNCATED, f"{size - before} of {wanted} bytes of samples")


def _read(one: Any, header: Header, start: int, out: NDArray[Any]) -> int:
    """Decodes frames of an open file from ``start`` on; returns how many there were."""
    import soundfile

    if start and header.layout & FORWARD:
        block = np.empty((BLOCK, header.channels), out.dtype)
        for place in range(0, start, BLOCK):
            _decode(one, block[: start - place])
    elif start:
        try:
            one.seek(start)
        except soundfile.LibsndfileError as problem:
            raise faults.BadFile(faults.TRUNCATED, f"no frame {start} ({problem})") from None
    return _decode(one, out)


def _count(file: Any) -> int:
    """Counts the frames of a file by decoding all of it."""
    block = np.empty((BLOCK, file.channels), np.float32)
    total = 0
    while got := _decode(file, block):
        total += got
    return total


def _decode(file: Any, out: NDArray[Any]) -> int:
    """Decodes the next frames into ``out``; returns how many there were."""
    import soundfile

    try:
        return len(file.read(out=out))
    except soundfile.LibsndfileError as problem:
        raise faults.BadFile(faults.TRUNCATED, f"a frame that does not decode ({problem})") from None


@contextmanager
def _open(file: Stored) -> Iterator[Any]:
    """Opens a file in libsndfile (by its path or number: so the interpreter lock is free while it decodes)."""
    import soundfile

    # A path as bytes, since names need not be UTF-8; Windows has names of characters.
    name = for_decoders(file) if isinstance(file, bytes) else file if os.name == "nt" else os.fsencode(file)
    try:
        try:
            with _OPENING:
                one = soundfile.SoundFile(name, closefd=False)
        except soundfile.LibsndfileError as problem:
            with _os_errors():
                opened(file).close()
            raise faults.BadFile(faults.UNREADABLE, problem.error_string.rstrip(".")) from None
        one.seekable = _never  # else each read ends with a seek to where it is, which costs codecs a search
        with one:
            yield one
    finally:
        if isinstance(name, int):
            os.close(name)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turns errors of the system into those of the file, where it is at fault."""
    try:
        yield
    except OSError as problem:
        raise faults.from_os(problem) from None


def _never() -> bool:
    return False
