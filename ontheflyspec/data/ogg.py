"""Ogg pages: where a file's streams begin and end, so that chained ones (joined files) are read one after the other.

Reference: RFC 3533, the Ogg encapsulation format.
"""

from __future__ import annotations

from typing import BinaryIO

from ontheflyspec.data import faults
from ontheflyspec.data.faults import BadFile

_FIRST, _LAST = 2, 4
"""Flags of the first and of the last page of a stream."""


def links(file: BinaryIO) -> list[tuple[int, int]]:
    """Returns first byte and end of each link of a chain; one for a file that is no chain. Raises for a torn one.

    What is no page, between links or at the end, is left out.

    Args:
        file: at its start, an Ogg file.
    """
    begins: list[int] = []
    place, size, open_streams, started = 0, file.seek(0, 2), set[bytes](), False
    file.seek(0)
    while head := file.read(27):
        if head[:4] != b"OggS" or len(head) < 27:
            if open_streams or head[:4] == b"OggS":
                raise BadFile(faults.TRUNCATED, f"no whole page at byte {place}, though no last page before")
            skipped = (head + file.read()).find(b"OggS")
            if skipped < 0:
                break
            place += skipped
            file.seek(place)
            continue
        sizes = file.read(head[26])
        end = place + 27 + len(sizes) + sum(sizes)
        if len(sizes) < head[26] or size < end:
            raise BadFile(faults.TRUNCATED, "an incomplete last page")
        file.seek(end)
        serial = head[14:18]
        if head[5] & _FIRST:
            if not begins or started:
                if open_streams:
                    raise BadFile(faults.TRUNCATED, f"no last page before byte {place}")
                begins.append(place)
                started = False
            open_streams.add(serial)
        else:
            started = True
        if head[5] & _LAST:
            open_streams.discard(serial)
            started = True
        place = end
    if open_streams:
        raise BadFile(faults.TRUNCATED, "no last page")
    return list(zip(begins, [*begins[1:], place], strict=True))
