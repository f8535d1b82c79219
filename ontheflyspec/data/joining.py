"""Sources of several data sets joined to one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from ontheflyspec import checks
from ontheflyspec.data.source import CHANGEABLE, Source
from ontheflyspec.data.table import Floats, Ints, Table
from ontheflyspec.data.windows import Windows

_NAMES = {"max_samples": "max_seconds", "random_crop": "crop", "skip": "on_error"}
"""Options by the attributes that they are kept in."""


def joined(where: str, sources: Sequence[Source], clips: Sequence[Ints]) -> Source:
    """Returns the files of chosen clips of several sources as one, whose clips are counted from 0 on.

    Raises:
        ValueError: sources that read their files in different ways.
    """
    first = sources[0]
    for name in ("sample_rate", "mono", "max_samples", "random_crop", "skip", "max_failures", "dtype"):
        values = [getattr(source, name) for source in sources]
        if any(value != values[0] for value in values):
            rule, got = f"data sets of one {_NAMES.get(name, name)}", ", ".join(map(str, values))
            remedy = f"Build them alike, or use .with_options for {', '.join(CHANGEABLE)}."
            raise ValueError(checks.message(where, rule, got, remedy))
    whole = copy.copy(first)
    whole.where = where
    pairs = [(source, source.files(own)) for source, own in zip(sources, clips, strict=True)]
    whole.table = Table.joined([(source.table, own) for source, own in pairs])
    whole.passed = [failure for source in sources for failure in source.passed]
    whole.spans = np.concatenate([source.spans[own] for source, own in pairs])
    whole.begins = None
    if any(source.begins is not None for source in sources):
        zero = np.zeros(len(whole.table), np.int64)
        whole.begins = np.concatenate(
            [zero[: len(own)] if source.begins is None else source.begins[own] for source, own in pairs]
        )
    whole.windows = None
    if any(source.windows is not None for source in sources):
        parts = []
        for source, own in zip(sources, clips, strict=True):
            known = source.windows
            starts = np.zeros(len(own), np.int64) if known is None else known.starts[own]
            parts.append((starts, source.lengths(own)))
        starts, lengths = (np.concatenate(column) for column in zip(*parts, strict=True))
        sizes = np.cumsum([0, *(len(source.table) for source in sources)])
        recordings = np.concatenate([source.recordings(own) + size for source, own, size in zip(sources, clips, sizes)])  # noqa: B905
        whole.windows = Windows(np.arange(len(whole.table)), starts, lengths, recordings)
    names = dict.fromkeys(name for source in sources for name in source.columns)
    whole.columns = {name: [value for one in pairs for value in _column(name, *one)] for name in names}
    whole.channel = None
    if any(source.channel is not None for source in sources):
        if any(source.channel is None for source in sources):
            raise ValueError(checks.message(where, "channel for all data sets or none", "some", "Build them alike."))
        whole.channel = np.concatenate([source.channel[own] for source, own in pairs])  # type: ignore[index]
    whole.check()
    whole.integer = whole.all_integer(whole.good())
    return whole


def _column(name: str, source: Source, files: Ints) -> list[Any]:
    """Returns the values of a column of a manifest for some files, None where a source has no such column."""
    known = source.columns.get(name)
    return [None if known is None else known[file] for file in files.tolist()]


def shared_out(where: str, weights: Any, sizes: Sequence[int]) -> Floats:
    """Returns a weight for each clip of several data sets, whose clips together have the weights of their sets."""
    shares = [checks.number(where, "weights", weight, low=0.0) for weight in checks.sequence(where, "weights", weights)]
    if len(shares) != len(sizes) or not any(shares):
        rule = f"{len(sizes)} weights, one a set, one of them above 0"
        raise ValueError(checks.message(where, rule, shares, "Pass how often clips of each set are wanted."))
    return np.repeat([share / size for share, size in zip(shares, sizes, strict=True)], sizes)
