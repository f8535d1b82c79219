"""Ids and lengths may lie on a device, both or either: tables then do, and nothing is copied back."""

from __future__ import annotations

import copy

import pytest
import torch

import pretend
from case import Case, build
from families.spectrogram import CASES
from laws import Example
from ontheflyspec.augment.base import Info, planned

STEREO = Example((60, 33, 0), channels=2)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("lengths", [False, True])
def test_same_as_on_the_host(case: Case, lengths: bool) -> None:
    """With ids on the host all cases are in test_pretend.py."""
    batch, module = STEREO.batch(case), build(case)
    expected = module(batch).data
    known = planned(module, Info.of(batch, case.name), module.draw(batch.ids)).time
    sent = batch._replace(data=pretend.send(batch.data), ids=pretend.send(batch.ids))
    sent = sent._replace(lengths=pretend.send(batch.lengths)) if lengths else sent
    with pretend.session():
        there = pretend.send(copy.deepcopy(module))
        out = there(sent).data
        moved = planned(there, Info.of(sent, case.name), there.draw(sent.ids)).time
        time_map = None if moved is None else moved()
    assert torch.allclose(pretend.fetch(out), expected, atol=1e-5)
    assert (time_map is None) == (known is None)
    if known is not None:
        assert all(torch.allclose(pretend.fetch(one), other) for one, other in zip(time_map, known(), strict=True))
