"""One channel of each file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ontheflyspec import checks
from ontheflyspec.data import faults
from ontheflyspec.data.table import Ints, Table


def chosen_channels(
    where: str, channel: int | str, table: Table, columns: Mapping[str, Sequence[Any]], *, skip: bool
) -> Ints:
    """Returns the number of the channel that is read of each file, or raises where there is none.

    Args:
        where: name for errors.
        channel: the number, or the name of the column that holds it.
        table: of the files, where those without the channel are marked as bad if they may be left out.
        columns: of a manifest.
        skip: whether files may be left out.
    """
    if isinstance(channel, str):
        names = {name.strip().casefold(): name for name in columns}
        if channel.strip().casefold() not in names:
            rule, got = "channel as a number or the name of a column", f"{channel!r} of {list(columns)}"
            raise ValueError(checks.message(where, rule, got, "Correct the name."))
        given: Sequence[Any] = list(map(_number, columns[names[channel.strip().casefold()]]))
    else:
        given = [checks.integer(where, "channel", channel, low=0)] * len(table)
    chosen = np.zeros(len(table), np.int64)
    for file in np.flatnonzero(table.marks == 0).tolist():
        channels, wanted = table.header(file).channels, given[file]
        if type(wanted) is int and 0 <= wanted < channels:
            chosen[file] = wanted
        elif skip:
            table.marks[file] = faults.NO_CHANNEL
        else:
            rule = f"a channel from 0 to {channels - 1} of {table.paths[file]!r}"
            raise ValueError(checks.message(where, rule, repr(wanted), 'Correct it, or pass on_error="skip".'))
    return chosen


def check_channel(where: str, channel: int, channels: int, path: str) -> None:
    """Raises unless a file with so many channels has this one."""
    if channel >= channels:
        rule, remedy = f"a channel below {channels} of {path!r}", "Channels are counted from 0."
        raise ValueError(checks.message(where, rule, channel, remedy))


def _number(value: Any) -> Any:
    """Returns a whole number that is written as text, and anything else as it is."""
    return int(value) if isinstance(value, str) and value.isdigit() else value
