"""A front end called from four threads at once equals one called in turn, bitwise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from case import Case, build
from laws import Example
from registry import CASES, front_end

SHAPES = [(160, 40, 97), (33, 1, 128), (200,), (64, 65, 66, 67)]


def four_threads() -> ThreadPoolExecutor:
    """Returns threads on which torch uses as many of its own as here, whatever ran in this process before."""
    return ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_four_threads(case: Case) -> None:
    module = build(case)
    batches = [Example(SHAPES[turn % 4], seed=turn).batch(case) for turn in range(5)]
    expected = [module(batch) for batch in batches]
    with four_threads() as pool:
        found = list(pool.map(module, batches))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.data, other.data)
        assert torch.equal(one.lengths, other.lengths)


def test_four_threads_at_work_together() -> None:
    """Long batches, so that the calls truly overlap."""
    chain, case = front_end(), Case("front end", front_end)
    batches = [Example((30_000, 7_000, 16_000), seed=turn).batch(case) for turn in range(8)]
    expected = [chain(batch).data for batch in batches]
    with four_threads() as pool:
        for _ in range(3):
            found = list(pool.map(lambda batch: chain(batch).data, batches))
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
