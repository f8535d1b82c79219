"""Lists of audio files and targets from folders of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ontheflyspec import checks

EXTENSIONS: tuple[str, ...] = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc")
EXTENSIONS += (".au", ".snd", ".caf", ".w64", ".rf64", ".sph", ".nist", ".voc", ".sf", ".paf", ".iff", ".svx", ".pvf")
EXTENSIONS += (".avr", ".sds", ".wve", ".xi", ".mp2")
"""What libsndfile reads, but for endings that stand for other things as well (.mat, .htk, .mpc)."""
Parts = Sequence[tuple[float, float | None]]
"""Offset and duration of each clip in its file, in seconds; a duration of None goes to the end of the file."""


def as_paths(where: str, paths: Sequence[str | os.PathLike[str]], remedy: str) -> list[str]:
    """Returns a list of files as strings, or raises that it is none, with what to do about that, or empty."""
    if isinstance(paths, str | os.PathLike):
        raise TypeError(checks.message(where, "paths as a list", repr(paths), remedy))
    # Whole, so that they hold when the working folder changes.
    if not (names := [os.path.abspath(os.fspath(path)) for path in paths]):
        raise ValueError(checks.message(where, "at least one file", "none", "Check where the list comes from."))
    return names


def list_folder(where: str, root: str) -> tuple[list[str], list[str] | None]:
    """Returns the audio files of a folder and the class of each: the sub-folder it lies in, however deep.

    None instead of classes if all files lie in the folder itself. Hidden files and folders are left out.
    """
    _check_folder(where, root)
    root = os.path.abspath(root)
    inside = {name: os.path.join(root, name) for name in sorted(os.listdir(root)) if not name.startswith(".")}
    found = [(path, name) for name, place in inside.items() if os.path.isdir(place) for path in _audio_files(place)]
    beside = [path for path in inside.values() if _is_audio(path)]
    paths, names = [path for path, _ in found], [name for _, name in found]
    if not paths and not beside:
        raise _no_audio(where, root, "Put one sub-folder a class into it, or correct the path.")
    if paths and beside:
        remedy = "Move it into a sub-folder, or list the files: AudioDataset(paths, targets)."
        raise ValueError(checks.message(where, "every file in a sub-folder that names its class", beside[0], remedy))
    return (paths, names) if paths else (beside, None)


def list_audio(where: str, root: str) -> list[str]:
    """Returns all audio files below a folder, sorted, wherever they lie; hidden ones are left out."""
    _check_folder(where, root)
    paths = _audio_files(os.path.abspath(root))
    if not paths:
        raise _no_audio(where, root, "Put some into it, or correct the path.")
    return paths


def _check_folder(where: str, root: str) -> None:
    if not os.path.isdir(root):
        raise FileNotFoundError(checks.message(where, "a folder", f"{root!r}", "Correct the path."))


def _no_audio(where: str, root: str, remedy: str) -> ValueError:
    return ValueError(checks.message(where, f"audio files ({' '.join(EXTENSIONS)})", f"none in {root!r}", remedy))


def _is_audio(path: str) -> bool:
    name = os.path.basename(path)
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".") and os.path.isfile(path)


def _audio_files(folder: str) -> list[str]:
    """Returns the audio files below a folder, sorted; links are followed, each folder is visited once."""
    seen, found = set[str](), list[str]()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real not in seen:
            found += [path for name in files if _is_audio(path := os.path.join(place, name))]
        seen.add(real)
    return sorted(found)
