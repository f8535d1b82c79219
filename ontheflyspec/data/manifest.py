"""Manifests: lists of clips in JSON Lines, CSV or TSV."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ontheflyspec import checks
from ontheflyspec.data.faults import Failure
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
        left_out: wrong lines.
    """

    paths: list[str]
    targets: Targets
    parts: Parts
    columns: dict[str, Sequence[Any]]
    left_out: list[Failure]


class Reader:
    """Reads a manifest, and either raises what is wrong with a line or leaves the line out.

    Args:
        where: name for errors.
        path: of the manifest.
        skip: whether wrong lines are left out.
    """

    def __init__(self, where: str, path: str, *, skip: bool) -> None:
        self.where, self.path, self.skip = where, path, skip
        self.left_out: list[Failure] = []

    def wrong(self, rule: str, got: str, line: int, remedy: str) -> None:
        """Raises what is wrong with a line, or notes it."""
        if not self.skip:
            raise ValueError(checks.message(self.where, rule, f"{got} in line {line} of {self.path!r}", remedy))
        self.left_out.append(Failure(-1, self.path, f"line {line}: expected {rule}, got {got}"))

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Yields each clip's line number and columns; empty fields and nulls are left out."""
        text, kind = _text(self.where, self.path), self.path.lower().removesuffix(".gz")
        if kind.endswith((".csv", ".tsv")):
            yield from self._table(text, tabs=kind.endswith(".tsv"))
            return
        for line, one in enumerate(_lines(text), 1):
            row = self._object(line, one) if one.strip() else None
            if row is not None:
                yield line, row

    def _object(self, line: int, text: str) -> Row | None:
        try:
            row = json.loads(text, parse_constant=_no_number)
        except ValueError as problem:
            self.wrong(
                "JSON Lines",
                getattr(problem, "msg", str(problem)),
                line,
                "Write one object a line, or name the file .csv.",
            )
            return None
        if not isinstance(row, dict):
            self.wrong("an object a line", type(row).__name__, line, 'Write {"path": ..., "label": ...}.')
            return None
        return {key: value for key, value in row.items() if value is not None}

    def _table(self, text: str, *, tabs: bool) -> Iterator[tuple[int, Row]]:
        """Yields the rows of a table with a header: split at tabs, where quotation marks are letters, or CSV."""
        header: list[str] | None = None
        for line, fields in self._records(text, tabs=tabs):
            if header is None:
                header = fields
            elif len(fields) > len(header):
                rule, got = f"at most {len(header)} fields, as in the header", f"{len(fields)}"
                remedy = "Remove the separator." if tabs else "Put fields with commas into quotation marks."
                self.wrong(rule, got, line, remedy)
            else:
                row = {name: value for name, value in zip(header, fields, strict=False) if value}
                if row:
                    yield line, row

    def _records(self, text: str, *, tabs: bool) -> Iterator[tuple[int, list[str]]]:
        """Yields each record that is not empty with its last line, and goes on behind the line of a wrong one."""
        options: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
        lines, first = _lines(text), 0
        while first < len(lines):
            reader, begun = csv.reader(lines[first:], **options), 0
            try:
                for fields in reader:
                    begun = reader.line_num
                    if fields:
                        yield first + begun, fields
                return
            except csv.Error as problem:
                line = first + begun + 1
                remedy = "Close quotation marks, double those inside a field, or use tabs (.tsv)."
                self.wrong("CSV", str(problem), line, remedy)
                first = line


def read_manifest(where: str, path: str, *, skip: bool = False, named: bool = False) -> Manifest:
    """Returns the clips of a manifest, or raises what is wrong with it.

    Args:
        where: name for errors.
        path: of the manifest.
        skip: whether wrong lines are left out and listed.
        named: whether labels are names, numbers among them, as written.
    """
    reader = Reader(where, path, skip=skip)
    numbered = list(reader.rows())
    if not numbered:
        reasons = f" ({reader.left_out[0].reason})" if reader.left_out else ""
        got, remedy = f"none in {path!r}{reasons}", "Add lines to the manifest, or correct them."
        raise ValueError(checks.message(where, "at least one clip", got, remedy))
    names = {name: name.strip().casefold() for _, row in numbered for name in row}  # as written, and as looked for
    known = {plain: name for name, plain in reversed(names.items())}
    place = next((known[name] for name in PATHS if name in known), None)
    if place is None:
        rule = f"a key {' or '.join(PATHS)}"
        got = f"{', '.join(map(repr, numbered[0][1])) or 'nothing'} in {path!r}"
        raise ValueError(checks.message(where, rule, got, "Rename the key that holds the file."))
    target, targets = next((known[name] for name in (*CLASSES, *TEXTS) if name in known), None), None
    columns = Columns(reader, numbered).having(place).having(target)
    times = {name: known.get(name) for name in TIMES}
    columns, parts = columns.timed(times)
    if not columns.rows:
        got = f"none in {path!r} ({reader.left_out[0].reason})"
        raise ValueError(checks.message(where, "at least one clip", got, "Correct the manifest."))
    if target is not None:
        values = columns.of(target)
        targets = PackedStrings([str(value) for value in values]) if names[target] in TEXTS else _typed(values, named)
    folder = os.path.dirname(os.path.abspath(path))
    used = {place, target, *times.values()}
    others = {name.strip(): columns.packed(name) for name in names if name not in used}
    paths = [os.path.join(folder, str(value)) for value in columns.of(place)]
    return Manifest(paths, targets, parts, others, reader.left_out)


class Columns:
    """The rows of a manifest, seen by columns.

    Args:
        reader: raises what is wrong with a line.
        rows: number of each row's line, and the row.
    """

    def __init__(self, reader: Reader, rows: Sequence[tuple[int, Row]]) -> None:
        self.reader, self.rows = reader, rows

    def having(self, name: str | None) -> Columns:
        """Returns the rows that have a column, which every clip must have; all if it is None."""
        if name is None:
            return self
        for line, row in self.rows:
            if name not in row:
                self.reader.wrong(f"{name.strip()} for every clip", "none", line, "Add it or drop the line.")
        return Columns(self.reader, [(line, row) for line, row in self.rows if name in row])

    def of(self, name: str) -> list[Any]:
        """Returns a column that every clip has."""
        return [row[name] for _, row in self.rows]

    def packed(self, name: str) -> Sequence[Any]:
        """Returns a column that clips may have, in little memory if it is of text."""
        values = [row.get(name) for _, row in self.rows]
        return PackedStrings(values) if all(isinstance(value, str) for value in values) else values  # type: ignore[arg-type]

    def timed(self, names: dict[str, str | None]) -> tuple[Columns, Parts]:
        """Returns the rows whose times are right, and offset and duration of each.

        Args:
            names: of the columns of offset, duration, start and end, None where there is none.
        """
        kept, parts = [], []
        for line, row in self.rows:
            times = [self._seconds(row, line, name) for name in names.values()]
            part = None if -1.0 in times else self._part(line, *times)
            if part is not None:
                kept.append((line, row))
                parts.append(part)
        return Columns(self.reader, kept), parts

    def _seconds(self, row: Row, line: int, name: str | None) -> float | None:
        """Returns a time, None where a clip has none, -1 for a wrong one."""
        if name is None or name not in row:
            return None
        try:
            value = float(row[name])
        except (TypeError, ValueError):
            value = -1.0
        if 0 <= value < float("inf"):
            return value
        self.reader.wrong(f"{name.strip()} in seconds, at least 0", repr(row[name]), line, "Correct it.")
        return -1.0

    def _part(
        self, line: int, offset: float | None, duration: float | None, start: float | None, end: float | None
    ) -> tuple[float, float | None] | None:
        """Returns offset and duration, given as such or as start and end; None if they are wrong."""
        if (offset is not None or duration is not None) and (start is not None or end is not None):
            rule, got = "offset and duration, or start and end", "some of both"
            self.reader.wrong(rule, got, line, "Leave one pair out.")
            return None
        begin = (start if offset is None else offset) or 0.0
        if end is not None and end <= begin:
            self.reader.wrong("an end after the start", f"{begin:g} to {end:g}", line, "Correct it.")
            return None
        return begin, duration if end is None else end - begin


def _text(where: str, path: str) -> str:
    """Returns the text of a file in UTF-8 or UTF-16, plain or compressed by gzip."""
    if not os.path.isfile(path):
        raise FileNotFoundError(checks.message(where, "a manifest file", f"{path!r}", "Correct the path."))
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as problem:
            got = f"{problem} in {path!r}"
            raise ValueError(checks.message(where, "a whole gzip file", got, "Compress the manifest again.")) from None
    if b"\0" in data[:64] and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        got = f"bytes of 0 in {path!r}, as UTF-16 without a byte order mark has them"
        raise ValueError(checks.message(where, "text in UTF-8", got, "Save the manifest as UTF-8."))
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        got = f"byte 0x{data[problem.start]:02x} in line {line} of {path!r}"
        raise ValueError(checks.message(where, "text in UTF-8", got, "Save the manifest as UTF-8.")) from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name}, which is no number")


def _lines(text: str) -> list[str]:
    """Returns lines with their ends; other characters that Python takes for ends of lines are letters here."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)


def _typed(values: list[Any], named: bool) -> list[Any]:
    """Returns targets as numbers if all of them, written as strings as in CSV, are numbers as one writes them.

    Names beside numbers, and numbers too large for int64, make all of them names.

    Args:
        values: as they stand in the manifest.
        named: whether they are names in any case.
    """
    plain = all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in values)
    if plain and (named or (any(isinstance(value, str) for value in values) and not all(map(_is_text, values)))):
        return [value if isinstance(value, str) else json.dumps(value) for value in values]
    if all(map(_is_text, values)) and not named:
        for kind, pattern in ((int, _WHOLE), (float, _NUMBER)):
            if all(pattern.fullmatch(value) for value in values):
                numbers = [kind(value) for value in values]
                return values if any(abs(number) >= 2**63 for number in numbers) else numbers
    return values


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
