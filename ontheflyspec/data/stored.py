"""Stored audio: files on disk, or their bytes in memory."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO, NamedTuple

from ontheflyspec import checks

Stored = str | bytes
"""The path of a file, or what it holds."""


class Status(NamedTuple):
    """Size of a file in bytes, and the time of its last change in ns, 0 for bytes in memory."""

    size: int
    changed: int


def opened(file: Stored, *, buffering: int = -1) -> BinaryIO:
    """Returns a file to read from."""
    if isinstance(file, bytes):
        return io.BytesIO(file)
    return open(file, "rb", buffering=buffering)


def status(file: BinaryIO) -> Status:
    """Returns size and time of change of an open file."""
    if isinstance(file, io.BytesIO):
        return Status(len(file.getbuffer()), 0)
    found = os.fstat(file.fileno())
    return Status(found.st_size, found.st_mtime_ns)


def for_decoders(data: bytes) -> Any:
    """Returns bytes as a file that decoders written in C read without the interpreter lock, where the system has such.

    A number of a file, which the caller closes (Linux), else a file object.
    """
    if not hasattr(os, "memfd_create"):
        return io.BytesIO(data)
    number = os.memfd_create("ontheflyspec")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(number, 0, os.SEEK_SET)
    except BaseException:
        os.close(number)
        raise
    return number


class Held(str):
    """The name of what is held in memory, in a list of paths.

    Args:
        name: to tell it from others.
        data: what the file holds.
    """

    data: bytes

    def __new__(cls, name: str, data: bytes) -> Held:
        """Makes a name with bytes."""
        held = super().__new__(cls, name)
        held.data = data
        return held

    def __reduce__(self) -> tuple[Any, ...]:
        return Held, (str(self), self.data)


def as_stored(where: str, item: Any, place: int | None = None) -> str:
    """Returns the whole path of a file, or a name that holds the bytes of what is no path.

    Args:
        where: name for errors.
        item: a path, bytes, or a binary file that is read from where it stands.
        place: in a list of files, None for a single one.
    """
    number = "" if place is None else f" {place}"
    if isinstance(item, str | os.PathLike):
        return os.path.abspath(os.fspath(item))  # so that it holds when the working folder changes
    if isinstance(item, bytes | bytearray | memoryview):
        return Held(f"<bytes{number}>", bytes(item))
    if hasattr(item, "read"):
        data = item.read()
        name = getattr(item, "name", None)
        if not isinstance(data, bytes):
            got = f"one that reads {type(data).__name__}"
            raise TypeError(checks.message(where, "a binary file", got, 'Open it with "rb".'))
        return Held(name if isinstance(name, str) else f"<file{number}>", data)
    got = type(item).__name__ + (f" as item{number}" if number else "")
    raise TypeError(checks.message(where, "a path, bytes or a binary file", got, "Pass one of them."))


def content(name: str) -> Stored:
    """Returns the path of a file in a list, or the bytes that its name holds."""
    return name.data if isinstance(name, Held) else name
