"""One channel of each file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ontheflyspec import checks
from ontheflyspec.data.table import Ints, Table


def chosen_channels(where: str, channel: int | str, table: Table, columns: Mapping[str, Sequence[Any]]) -> Ints:
    """Returns the number of the channel that is read of each file, or raises where there is none.

    Args:
        where: name for errors.
        channel: the number, or the name of the column that holds it.
        table: of the files.
        columns: of a manifest.
    """
    if not isinstance(channel, str):
        chosen = [checks.integer(where, "channel", channel, low=0)] * len(table)
    elif channel in columns:
        chosen = [checks.integer(where, channel, _number(value), low=0) for value in columns[channel]]
    else:
        rule, got = "channel as a number or the name of a column", f"{channel!r} of {list(columns)}"
        raise ValueError(checks.message(where, rule, got, "Correct the name."))
    for file in np.flatnonzero(table.marks == 0).tolist():
        check_channel(where, chosen[file], table.header(file).channels, table.paths[file])
    return np.array(chosen, np.int64)


def check_channel(where: str, channel: int, channels: int, path: str) -> None:
    """Raises unless a file with so many channels has this one."""
    if channel >= channels:
        rule, remedy = f"a channel below {channels} of {path!r}", "Channels are counted from 0."
        raise ValueError(checks.message(where, rule, channel, remedy))


def _number(value: Any) -> Any:
    """Returns a whole number that is written as text, and anything else as it is."""
    return int(value) if isinstance(value, str) and value.isdigit() else value
