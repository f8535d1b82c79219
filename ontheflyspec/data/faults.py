"""Faults of audio files: their codes, and the errors that tell users about them."""

from __future__ import annotations

import errno
from typing import NamedTuple

from ontheflyspec import checks

MISSING, UNREADABLE, TRUNCATED, EMPTY, NOT_FINITE, CHANGED, SILENT, JOINED, OUTSIDE, NO_CHANNEL = range(1, 11)


_TEXTS = {
    MISSING: ("no such file", "an existing file", "Correct the path"),
    UNREADABLE: ("not readable as audio", "a readable audio file", "Convert it to WAV or FLAC"),
    TRUNCATED: ("cut short or damaged", "every frame that the header promises", "Copy it again from its source"),
    EMPTY: ("holds no frames", "at least one frame", "Leave the file out"),
    NOT_FINITE: ("holds NaN or infinite samples", "finite samples", "Repair the file"),
    CHANGED: ("changed since the scan", "the file that was scanned", "Build the AudioDataset anew"),
    JOINED: ("streams joined that do not fit", "one stream, or streams of one kind", "Convert them one by one"),
    OUTSIDE: ("is shorter than its part in the manifest", "a part of the file", "Correct offset and duration"),
    NO_CHANNEL: ("lacks the channel that is wanted", "that channel", "Correct the channel"),
    SILENT: ("holds silence only", "a wave that is heard", "Leave the file out"),
}
"""For each code the fault in a few words, the rule that an error states, and the remedy."""

# Errors of the process, not of a file: too many open files, no memory, an interrupted call.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)


class Failure(NamedTuple):
    """A clip that could not be read.

    Args:
        index: place of the clip in the list, folder or manifest that the data set was built from.
        path: its file.
        reason: what is wrong with it.
    """

    index: int  # type: ignore[assignment]
    path: str
    reason: str


class BadFile(Exception):
    """A fault of a file, raised by readers; whoever catches it decides between an error for the user and skipping."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


def reason(code: int) -> str:
    """Returns the fault of a code, in a few words."""
    return _TEXTS[code][0]


def error(where: str, path: str, bad: BadFile, *, may_skip: bool = False) -> Exception:
    """Returns the exception that tells a user about a bad file."""
    _, rule, remedy = _TEXTS[bad.code]
    remedy += ', or pass on_error="skip".' if may_skip else "."
    text = checks.message(where, rule, f"{bad.detail} in {path!r}", remedy)
    return FileNotFoundError(text) if bad.code == MISSING else ValueError(text)


def from_os(problem: OSError) -> Exception:
    """Returns a BadFile where the file is at fault; an error for want of handles or memory is returned as it is."""
    if problem.errno in _PASSING:
        return problem
    if isinstance(problem, FileNotFoundError | NotADirectoryError):
        return BadFile(MISSING, "nothing")
    return BadFile(UNREADABLE, problem.strerror or type(problem).__name__)
