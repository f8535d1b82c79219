"""Manifests: lists of clips in JSON Lines, CSV or TSV."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ontheflyspec import checks
from ontheflyspec.data.listing import Parts
from ontheflyspec.data.table import PackedStrings
from ontheflyspec.data.targets import Targets

PATHS = ("audio_filepath", "path")
CLASSES, TEXTS = ("label", "class", "target", "category"), ("text", "sentence", "transcript")
TIMES = ("offset", "duration", "start", "end")
_WHOLE, _NUMBER = re.compile(r"-?(0|[1-9][0-9]*)"), re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
"""Numbers as one writes them: no zeros in front, no exponents."""
Row = dict[str, Any]
"""What a line tells of a clip, by the names of its columns."""


class Manifest(NamedTuple):
    """Clips of a manifest.

    Args:
        paths: the files; relative ones are below the manifest's folder.
        targets: numbers or names of classes in a list, texts packed, None if there are none.
        parts: of the files.
        columns: those that are neither of these, by their names as written, a value or None for each clip.
    """

    paths: list[str]
    targets: Targets
    parts: Parts
    columns: dict[str, Sequence[Any]]


def read_manifest(where: str, path: str) -> Manifest:
    """Returns the clips of a manifest, or raises what is wrong with it; errors begin with ``where``."""
    numbered = list(_rows(where, path))
    if not numbered:
        raise ValueError(checks.message(where, "at least one clip", f"none in {path!r}", "Add lines to the manifest."))
    lines, rows = [line for line, _ in numbered], [row for _, row in numbered]
    names = {name: name.strip().casefold() for row in rows for name in row}  # as written, and as they are looked for
    known = {plain: name for name, plain in reversed(names.items())}
    columns = Columns(where, path, lines, rows)
    place = next((known[name] for name in PATHS if name in known), None)
    if place is None:
        rule = f"a key {' or '.join(PATHS)}"
        got = f"{', '.join(map(repr, rows[0])) or 'nothing'} in {path!r}"
        raise ValueError(checks.message(where, rule, got, "Rename the key that holds the file."))
    target, targets = next((known[name] for name in (*CLASSES, *TEXTS) if name in known), None), None
    if target is not None:
        values = columns.full(target)
        texts = names[target] in TEXTS
        targets = PackedStrings([str(value) for value in values]) if texts else _typed(values)
    folder = os.path.dirname(os.path.abspath(path))
    times = {name: columns.seconds(known.get(name)) for name in TIMES}
    used = {place, target, *(known[name] for name in TIMES if name in known)}
    others = {name.strip(): columns.packed(name) for name in names if name not in used}
    paths = [os.path.join(folder, str(value)) for value in columns.full(place)]
    return Manifest(paths, targets, columns.parts(times), others)


class Columns(NamedTuple):
    """The rows of a manifest, seen by columns.

    Args:
        where: name for errors.
        path: of the manifest.
        lines: number of each row's line.
        rows: of the clips.
    """

    where: str
    path: str
    lines: list[int]
    rows: list[Row]

    def full(self, name: str) -> list[Any]:
        """Returns a column that every clip must have."""
        for line, row in zip(self.lines, self.rows, strict=True):
            if name not in row:
                raise self.wrong(f"{name.strip()} for every clip", "none", line, "Add it or drop the line.")
        return [row[name] for row in self.rows]

    def packed(self, name: str) -> Sequence[Any]:
        """Returns a column that clips may have, in little memory if it is of text."""
        values = [row.get(name) for row in self.rows]
        return PackedStrings(values) if all(isinstance(value, str) for value in values) else values  # type: ignore[arg-type]

    def seconds(self, name: str | None) -> list[float | None]:
        """Returns a column of times, None where a clip has none."""
        found: list[float | None] = []
        for line, row in zip(self.lines, self.rows, strict=True):
            if name is None or name not in row:
                found.append(None)
                continue
            try:
                value = float(row[name])
            except (TypeError, ValueError):
                value = -1.0
            if not 0 <= value < float("inf"):
                raise self.wrong(f"{name.strip()} in seconds, at least 0", repr(row[name]), line, "Correct it.")
            found.append(value)
        return found

    def parts(self, times: dict[str, list[float | None]]) -> Parts:
        """Returns offset and duration of each clip, given as such or as start and end."""
        found = []
        for line, *values in zip(self.lines, *times.values(), strict=True):
            offset, duration, start, end = values
            if (offset is None and duration is None) or (start is None and end is None):
                begin = (start if offset is None else offset) or 0.0
                found.append((begin, duration if end is None else end - begin))
                if end is not None and end <= begin:
                    raise self.wrong("an end after the start", f"{begin:g} to {end:g}", line, "Correct it.")
            else:
                rule, got = "offset and duration, or start and end", "some of both"
                raise self.wrong(rule, got, line, "Leave one pair out.")
        return found

    def wrong(self, rule: str, got: str, line: int, remedy: str) -> ValueError:
        """Returns an error that names a line."""
        return ValueError(checks.message(self.where, rule, f"{got} in line {line} of {self.path!r}", remedy))


def _rows(where: str, path: str) -> Iterator[tuple[int, Row]]:
    """Yields each clip's line number and columns; empty fields and nulls are left out."""
    text, kind = _text(where, path), path.lower().removesuffix(".gz")
    if kind.endswith((".csv", ".tsv")):
        yield from _table(where, path, text, tabs=kind.endswith(".tsv"))
        return
    for line, one in enumerate(text.splitlines(), 1):
        if one.strip():
            yield line, _object(where, path, line, one)


def _text(where: str, path: str) -> str:
    """Returns the text of a file in UTF-8 or UTF-16, plain or compressed by gzip."""
    if not os.path.isfile(path):
        raise FileNotFoundError(checks.message(where, "a manifest file", f"{path!r}", "Correct the path."))
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        got = f"byte 0x{data[problem.start]:02x} in line {line} of {path!r}"
        raise ValueError(checks.message(where, "text in UTF-8", got, "Save the manifest as UTF-8.")) from None


def _table(where: str, path: str, text: str, *, tabs: bool) -> Iterator[tuple[int, Row]]:
    """Yields the rows of a table with a header: split at tabs, where quotation marks are letters, or CSV."""
    given = io.StringIO(text, newline="")
    reader: Any = csv.reader(given, strict=True)
    if tabs:
        reader = csv.reader(given, delimiter="\t", quoting=csv.QUOTE_NONE)
    header: list[str] | None = None
    try:
        for fields in reader:
            if header is None:
                header = fields
            elif fields:
                if len(fields) > len(header):
                    rule = f"at most {len(header)} fields, as in the header"
                    got = f"{len(fields)} in line {reader.line_num} of {path!r}"
                    remedy = "Remove the separator." if tabs else "Put fields with commas into quotation marks."
                    raise ValueError(checks.message(where, rule, got, remedy))
                row = {name: value for name, value in zip(header, fields, strict=False) if value}
                if row:
                    yield reader.line_num, row
    except csv.Error as problem:
        got = f"{problem} at line {reader.line_num} of {path!r}"
        remedy = "Close quotation marks, double those inside a field, or use tabs (.tsv)."
        raise ValueError(checks.message(where, "CSV", got, remedy)) from None


def _object(where: str, path: str, line: int, text: str) -> Row:
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


def _typed(values: list[Any]) -> list[Any]:
    """Returns targets as numbers if all of them, written as strings as in CSV, are numbers as one writes them."""
    if all(isinstance(value, str) for value in values):
        for kind, pattern in ((int, _WHOLE), (float, _NUMBER)):
            if all(pattern.fullmatch(value) for value in values):
                return [kind(value) for value in values]
    return values
