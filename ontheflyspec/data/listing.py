"""Lists of audio files and targets from folders of classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ontheflyspec import checks
from ontheflyspec.data import codec
from ontheflyspec.data.stored import as_stored

EXTENSIONS: tuple[str, ...] = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc")
EXTENSIONS += (".au", ".snd", ".caf", ".w64", ".rf64", ".sph", ".nist", ".voc", ".sf", ".paf", ".iff", ".svx", ".pvf")
EXTENSIONS += (".avr", ".sds", ".wve", ".xi", ".mp2")
"""What libsndfile reads, but for endings that stand for other things as well (.mat, .htk, .mpc)."""
Parts = Sequence[tuple[float, float | None]]
"""Offset and duration of each clip in its file, in seconds; a duration of None goes to the end of the file."""


class Passed(NamedTuple):
    """A file that looks like audio and is passed over.

    Args:
        group: the sub-folder of the listed folder that it lies in, "" for the folder itself.
        path: the file.
        reason: why it is passed over.
    """

    group: str
    path: str
    reason: str


def as_paths(where: str, paths: Sequence[Any], remedy: str) -> list[str]:
    """Returns a list of files as strings, or raises that it is none, with what to do about that, or empty.

    Args:
        where: name for errors.
        paths: of files; bytes and binary files become names that hold them.
        remedy: for a single path.
    """
    if isinstance(paths, str | os.PathLike | bytes):
        raise TypeError(checks.message(where, "paths as a list", repr(paths)[:80], remedy))
    if not (names := [as_stored(where, path, place) for place, path in enumerate(paths)]):
        raise ValueError(checks.message(where, "at least one file", "none", "Check where the list comes from."))
    return names


def list_folder(where: str, root: str) -> tuple[list[str], list[str] | None, list[Passed]]:
    """Returns the audio files of a folder, the class of each, and what looks like audio and is passed over.

    A class is the sub-folder that a file lies in, however deep; None if all files lie in the folder itself. Hidden
    files and folders are left out.
    """
    _check_folder(where, root)
    root = os.path.abspath(root)
    inside = {name: os.path.join(root, name) for name in sorted(os.listdir(root)) if not name.startswith(".")}
    passed: list[Passed] = []
    found = [(path, name) for name, it in inside.items() if os.path.isdir(it) for path in _audio(it, name, passed)]
    beside = [path for path in inside.values() if not os.path.isdir(path) and _is_audio(path, "", passed)]
    paths, names = [path for path, _ in found], [name for _, name in found]
    if not paths and not beside:
        raise _no_audio(where, root, passed, "Put one sub-folder a class into it, or correct the path.")
    if paths and beside:
        remedy = "Move it into a sub-folder, or list the files: AudioDataset(paths, targets)."
        raise ValueError(checks.message(where, "every file in a sub-folder that names its class", beside[0], remedy))
    warn_of(where, passed)
    return (paths, names, passed) if paths else (beside, None, passed)


def list_audio(where: str, root: str) -> tuple[list[str], list[Passed]]:
    """Returns all audio files below a folder, sorted, wherever they lie, and what is passed over; no hidden ones."""
    _check_folder(where, root)
    passed: list[Passed] = []
    paths = _audio(os.path.abspath(root), "", passed)
    if not paths:
        raise _no_audio(where, root, passed, "Put some into it, or correct the path.")
    warn_of(where, passed)
    return paths, passed


def warn_of(where: str, passed: Sequence[Passed]) -> None:
    """Warns once of all that is passed over, by class and reason."""
    counts = Counter((one.group, one.reason) for one in passed)
    kinds = [f"{group or 'the folder'}: {count} {reason}" for (group, reason), count in sorted(counts.items())]
    if kinds:
        remedy = "They are left out: see .failures."
        checks.warn(checks.message(where, "audio that can be read", "; ".join(kinds), remedy))


def _check_folder(where: str, root: str) -> None:
    if not os.path.isdir(root):
        raise FileNotFoundError(checks.message(where, "a folder", f"{root!r}", "Correct the path."))


def _no_audio(where: str, root: str, passed: Sequence[Passed], remedy: str) -> ValueError:
    got = f"none in {root!r}"
    if passed:
        got += f", but {len(passed)} such as {passed[0].path!r} ({passed[0].reason})"
    return ValueError(checks.message(where, f"audio files ({' '.join(EXTENSIONS)})", got, remedy))


def _is_audio(path: str, group: str, passed: list[Passed]) -> bool:
    """Returns whether a file is audio that can be read; what only looks like it is noted."""
    name = os.path.basename(path).lower()
    known, other = name.endswith(EXTENSIONS), name.endswith(codec.EXTENSIONS)
    unread = name.endswith(codec.UNREAD)
    if name.startswith(".") or not (known or other or unread):
        return False
    if not os.path.isfile(path):
        if os.path.islink(path):
            passed.append(Passed(group, path, "links to nowhere"))
        return False
    if unread:
        passed.append(Passed(group, path, f"files of the kind {os.path.splitext(name)[1]}, which nothing here reads"))
        return False
    if other and not codec.there():
        passed.append(Passed(group, path, f"files of the kind {os.path.splitext(name)[1]}, which take torchcodec"))
        return False
    return True


def _audio(folder: str, group: str, passed: list[Passed]) -> list[str]:
    """Returns the audio files below a folder, sorted; links are followed, each folder is visited once."""
    seen, found = set[str](), list[str]()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real not in seen:
            found += [path for name in files if _is_audio(path := os.path.join(place, name), group, passed)]
        seen.add(real)
    return sorted(found)
