"""Ids of draws: read back, apart from each other, and refused where a part has no room."""

from __future__ import annotations

import pytest
import torch

from ontheflyspec.identity import Identity

LIMITS = {"clip": 2**33, "epoch": 2**16, "occurrence": 2**14}


def test_ids_are_read_back():
    parts = [
        (clip, epoch, often) for clip in (0, 1, 2**33 - 1) for epoch in (0, 3, 2**16 - 1) for often in (0, 2**14 - 1)
    ]
    ids = [Identity(*one).id() for one in parts]
    assert [Identity.of(value) for value in ids] == parts
    assert len(set(ids)) == len(parts)
    assert min(ids) == 0
    assert torch.tensor(ids).dtype == torch.int64
    assert max(ids) == 2**63 - 1


@pytest.mark.parametrize("name", LIMITS)
def test_what_has_no_room_is_an_error(name):
    for value in (LIMITS[name], -1):
        with pytest.raises(ValueError, match=rf"expected {name} from 0 to {LIMITS[name] - 1} in an id, got {value}\."):
            Identity(**{"clip": 0, "epoch": 0, name: value}).id()
