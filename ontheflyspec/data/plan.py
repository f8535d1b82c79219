"""Plans of an epoch: which clips share a batch, and which batches the ranks take at the same step. Pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ontheflyspec import checks, rng

Ints = NDArray[np.int64]
WHERE = "BucketBatchSampler"


class Rules(NamedTuple):
    """What a batch may hold and how epochs are drawn; the options of `BucketBatchSampler`.

    Args:
        max_samples: samples of one padded batch.
        max_items: clips of one batch.
        shuffle: whether epochs differ.
        drop_last: whether surplus batches are left out rather than split.
        pool: clips that are sorted together.
        quantise_samples: step that the longest clip of a batch is rounded up to.
    """

    max_samples: int
    max_items: int | None
    shuffle: bool
    drop_last: bool
    pool: int
    quantise_samples: int


class Plan(NamedTuple):
    """Batches in a row: batch ``b`` holds the clips ``order[start[b] : start[b] + size[b]]``, longest first."""

    order: Ints
    start: Ints
    size: Ints

    def take(self, batches: Any) -> Plan:
        """Returns the plan of some of the batches, by a slice or by their positions."""
        return Plan(self.order, self.start[batches], self.size[batches])


def permutation(n: int, key: int) -> Ints:
    """Returns the numbers below ``n`` in an order that depends on ``key`` alone, whatever the versions."""
    # Parts that torch does not share out among threads: a busy machine would make these meet at every operation.
    parts = (torch.arange(start, min(start + 8192, n), device="cpu") for start in range(0, max(n, 1), 8192))
    words = torch.cat([rng.words(part, key, 2) for part in parts])
    return np.argsort(((words[:, 0] << 31) ^ words[:, 1]).numpy(), kind="stable")


def costs(lengths: Ints, rules: Rules) -> Ints:
    """Returns the samples of the budget that each clip takes: its length rounded up, at least one."""
    step = rules.quantise_samples
    rounded: Ints = -(-np.maximum(lengths, 1) // step) * step
    return rounded


def make_batches(lengths: Ints, rules: Rules, key: int) -> Plan:
    """Returns all clips in batches within the budget, drawn by ``key``.

    Clips are shuffled, sorted in pools, longest first, and cut greedily. A pool that needs several batches is also cut
    at a drawn place in its first eighth, so that batch mates change from epoch to epoch even where one pool holds
    every clip. Without shuffling all clips are one pool.
    """
    n = len(lengths)
    order = permutation(n, rng.fold(key, 0)) if rules.shuffle else np.arange(n)
    pool = rules.pool if rules.shuffle else n
    order = order[np.lexsort((-lengths[order], np.arange(n) // pool))]
    most = np.minimum(rules.max_samples // costs(lengths, rules)[order], rules.max_items or n).tolist()
    chances = rng.uniform(torch.arange(-(-n // pool), device="cpu"), rng.fold(key, 1), 1)[:, 0].tolist()
    cuts: list[int] = []
    for begin in range(0, n, pool):
        end = min(begin + pool, n)
        drawn = begin
        if rules.shuffle and most[begin] < end - begin:
            drawn += int(chances[begin // pool] * ((end - begin) // 8 + 2))
        cuts += _cuts(most, begin, drawn) + _cuts(most, drawn, end)
    start = np.array(cuts)
    return Plan(order, start, np.diff(start, append=n))


def _cuts(most: list[int], begin: int, end: int) -> list[int]:
    """Returns the first places of batches from ``begin`` to ``end``, each as large as its first clip allows."""
    cuts = []
    while begin < end:
        cuts.append(begin)
        begin += most[begin]
    return cuts


def deal(plan: Plan, lengths: Ints, rules: Rules, key: int, world_size: int) -> Plan:
    """Returns the batches in steps of ``world_size`` neighbours of like length, steps drawn by ``key``.

    If the number of batches does not divide, the largest are split until it does; with ``drop_last`` a run of
    neighbours, drawn by ``key``, is left out.

    Raises:
        ValueError: there is no such split.
    """
    surplus = len(plan.start) % world_size
    if surplus and not rules.drop_last:
        plan = _split(plan, world_size - surplus, world_size)
    plan = plan.take(np.argsort(-lengths[plan.order[plan.start]], kind="stable"))
    if surplus and rules.drop_last:
        plan = _drop(plan, surplus, rules, key)
    steps = len(plan.start) // world_size
    turns = permutation(steps, rng.fold(key, 2)) if rules.shuffle else np.arange(steps)
    return plan.take((turns[:, None] * world_size + np.arange(world_size)).reshape(-1))


def _split(plan: Plan, times: int, world_size: int) -> Plan:
    """Halves the batch with most clips, ``times`` times."""
    order, start, size = plan
    for _ in range(times):
        largest = int(np.argmax(size))
        if size[largest] < 2:
            rule = f"batches that can be split into a multiple of {world_size}, one a rank"
            remedy = "Raise max_samples, pass drop_last=True, or use fewer ranks."
            raise ValueError(checks.message(WHERE, rule, f"{len(size)} batches of one clip", remedy))
        half = int(size[largest]) // 2
        kept = int(size[largest]) - half
        start = np.insert(start, largest + 1, start[largest] + kept)
        size = np.insert(size, largest + 1, half)
        size[largest] = kept
    return Plan(order, start, size)


def _drop(plan: Plan, surplus: int, rules: Rules, key: int) -> Plan:
    """Leaves out ``surplus`` neighbouring batches, anywhere if shuffled, else the shortest."""
    places = len(plan.start) - surplus
    chance = float(rng.uniform(torch.zeros(1, dtype=torch.int64, device="cpu"), rng.fold(key, 3), 1))
    at = int(chance * (places + 1)) if rules.shuffle else places
    return plan.take(np.r_[0:at, at + surplus : places + surplus])
