"""Lists of audio files and targets, from folders of classes and from manifests (JSON Lines, CSV)."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ontheflyspec import checks
from ontheflyspec.data.table import PackedStrings
from ontheflyspec.data.targets import Targets

EXTENSIONS: tuple[str, ...] = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc")
EXTENSIONS += (".au", ".snd", ".caf", ".w64", ".rf64")
Parts = Sequence[tuple[float, float | None]]
"""Offset and duration of each clip in its file, in seconds; a duration of None goes to the end of the file."""
_PATHS, _TARGETS = ("audio_filepath", "path"), ("label", "target", "text")


def as_paths(where: str, paths: Sequence[str | os.PathLike[str]], remedy: str) -> list[str]:
    """Returns a list of files as strings, or raises that it is none, with what to do about that, or empty."""
    if isinstance(paths, str | os.PathLike):
        raise TypeError(checks.message(where, "paths as a list", repr(paths), remedy))
    if not (names := [os.fspath(path) for path in paths]):
        raise ValueError(checks.message(where, "at least one file", "none", "Check where the list comes from."))
    return names


def list_folder(where: str, root: str) -> tuple[list[str], list[str] | None]:
    """Returns the audio files of a folder and the class of each: the sub-folder it lies in, however deep.

    None instead of classes if all files lie in the folder itself. Hidden files and folders are left out.
    """
    _check_folder(where, root)
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
    paths = _audio_files(root)
    if not paths:
        raise _no_audio(where, root, "Put some into it, or correct the path.")
    return paths


def read_manifest(where: str, path: str) -> tuple[list[str], Targets, Parts]:
    """Returns files, targets, and the part of each file as offset and duration, from a JSON Lines or CSV file.

    Relative paths count from its folder. Targets are numbers or names of classes in a list, texts packed, None if the
    file has none. Parts are in seconds; a duration of None goes to the end.
    """
    rows = list(_rows(where, path))
    if not rows:
        raise ValueError(checks.message(where, "at least one clip", f"none in {path!r}", "Add lines to the manifest."))
    key = _key(where, path, rows, _PATHS)
    if key is None:
        rule, got = f"a key {' or '.join(_PATHS)}", f"{', '.join(map(repr, rows[0][1])) or 'nothing'} in {path!r}"
        raise ValueError(checks.message(where, rule, got, "Rename the key that holds the file."))
    target, targets = _key(where, path, rows, _TARGETS), None
    if target is not None:
        values = [row[target] for _, row in rows]
        targets = PackedStrings([str(value) for value in values]) if target == "text" else _typed(values)
    folder = os.path.dirname(path)
    paths = [os.path.join(folder, str(row[key])) for _, row in rows]
    parts = [(_seconds(where, path, *row, "offset") or 0.0, _seconds(where, path, *row, "duration")) for row in rows]
    return paths, targets, parts


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


def _rows(where: str, path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields each clip's line number and keys."""
    if not os.path.isfile(path):
        raise FileNotFoundError(checks.message(where, "a manifest file", f"{path!r}", "Correct the path."))
    with open(path, encoding="utf-8-sig", newline="") as file:
        if path.lower().endswith((".csv", ".tsv")):
            reader = csv.DictReader(file, delimiter="\t" if path.lower().endswith(".tsv") else ",")
            for row in reader:
                yield reader.line_num, {key: value for key, value in row.items() if value not in (None, "")}
            return
        for line, text in enumerate(file, 1):
            if text.strip():
                yield line, _object(where, path, line, text)


def _object(where: str, path: str, line: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as problem:
        got = f"{problem.msg} in line {line} of {path!r}"
        remedy = "Write one object a line, or name the file .csv."
        raise ValueError(checks.message(where, "JSON Lines", got, remedy)) from None
    if not isinstance(row, dict):
        got = f"{type(row).__name__} in line {line} of {path!r}"
        raise ValueError(checks.message(where, "an object a line", got, 'Write {"path": ..., "label": ...}.'))
    return {key: value for key, value in row.items() if value is not None}


def _key(where: str, path: str, rows: list[tuple[int, dict[str, Any]]], names: tuple[str, ...]) -> str | None:
    """Returns the first of these keys that the clips have, which must then be all of them."""
    key = next((name for name in names if any(name in row for _, row in rows)), None)
    for line, row in rows:
        if key is not None and key not in row:
            got = f"none in line {line} of {path!r}"
            raise ValueError(checks.message(where, f"{key} for every clip", got, "Add it or drop the line."))
    return key


def _typed(values: list[Any]) -> list[Any]:
    """Returns targets as numbers if all of them, written as strings as in CSV, are numbers."""
    if not all(isinstance(value, str) for value in values):
        return values
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return [kind(value) for value in values]
    return values


def _seconds(where: str, path: str, line: int, row: dict[str, Any], name: str) -> float | None:
    if name not in row:
        return None
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value < float("inf"):
        got = f"{row[name]!r} in line {line} of {path!r}"
        raise ValueError(checks.message(where, f"{name} in seconds, at least 0", got, "Correct it."))
    return value
