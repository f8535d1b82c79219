"""Where clips come from: folders of classes and manifests."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from ontheflyspec import checks

EXTENSIONS = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".caf", ".w64", ".rf64"),
)
_PATHS, _TARGETS = ("audio_filepath", "path"), ("label", "target", "text")


class Manifest(NamedTuple):
    """What a manifest lists, a value a clip each.

    Args:
        paths: files.
        targets: numbers or strings, None if the manifest has none.
        is_text: whether targets are texts, not names of classes.
        offsets_s: where each clip begins in its file.
        durations_s: how long it is, None up to the end of the file.
    """

    paths: list[str]
    targets: list[Any] | None
    is_text: bool
    offsets_s: list[float]
    durations_s: list[float | None]


def list_folder(where: str, root: str) -> tuple[list[str], list[str] | None]:
    """Returns the audio files of a folder and the class of each: the sub-folder it lies in, however deep.

    None instead of classes if all files lie in the folder itself. Hidden files and folders are left out.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError(checks.message(where, "a folder", f"{root!r}", "Correct the path."))
    paths, names = [], []
    for name in sorted(os.listdir(root)):
        inside = os.path.join(root, name)
        if os.path.isdir(inside) and not name.startswith("."):
            found = sorted(_audio_files(inside))
            paths += found
            names += [name] * len(found)
    beside = [path for name in sorted(os.listdir(root)) if _is_audio(path := os.path.join(root, name))]
    if not paths and not beside:
        got = f"none in {root!r}"
        remedy = "Put one sub-folder a class into it, or correct the path."
        raise ValueError(checks.message(where, f"audio files ({' '.join(EXTENSIONS)})", got, remedy))
    if paths and beside:
        remedy = "Move it into a sub-folder, or list the files: AudioDataset(paths, targets)."
        raise ValueError(checks.message(where, "every file in a sub-folder that names its class", beside[0], remedy))
    return (paths, names) if paths else (beside, None)


def list_audio(where: str, root: str) -> list[str]:
    """Returns all audio files below a folder, sorted, wherever they lie; hidden ones are left out."""
    if not os.path.isdir(root):
        raise FileNotFoundError(checks.message(where, "a folder", f"{root!r}", "Correct the path."))
    paths = sorted(_audio_files(root))
    if not paths:
        rule = f"audio files ({' '.join(EXTENSIONS)})"
        raise ValueError(checks.message(where, rule, f"none in {root!r}", "Put some into it, or correct the path."))
    return paths


def read_manifest(where: str, path: str) -> Manifest:
    """Returns what a JSON Lines or CSV file lists; relative paths count from its folder."""
    rows = list(_rows(where, path))
    if not rows:
        raise ValueError(checks.message(where, "at least one clip", f"none in {path!r}", "Add lines to the manifest."))
    key = _key(where, path, rows, _PATHS)
    if key is None:
        rule, got = f"a key {' or '.join(_PATHS)}", f"{', '.join(map(repr, rows[0][1])) or 'nothing'} in {path!r}"
        raise ValueError(checks.message(where, rule, got, "Rename the key that holds the file."))
    target = _key(where, path, rows, _TARGETS)
    folder = os.path.dirname(path)
    return Manifest(
        [os.path.join(folder, str(row[key])) for _, row in rows],
        None if target is None else _typed([row[target] for _, row in rows], is_text=target == "text"),
        target == "text",
        [_seconds(where, path, line, row, "offset") or 0.0 for line, row in rows],
        [_seconds(where, path, line, row, "duration") for line, row in rows],
    )


def _is_audio(path: str) -> bool:
    name = os.path.basename(path)
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".") and os.path.isfile(path)


def _audio_files(folder: str) -> Iterator[str]:
    """Yields the audio files below a folder; links are followed, each folder is visited once."""
    seen = set[str]()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real not in seen:
            yield from (path for name in files if _is_audio(path := os.path.join(place, name)))
        seen.add(real)


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


def _typed(values: list[Any], *, is_text: bool) -> list[Any]:
    """Returns targets as numbers if all of them, written as strings as in CSV, are numbers."""
    if is_text or not all(isinstance(value, str) for value in values):
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
