"""Plans of an epoch: which clips share a batch, and which batches the ranks take at the same step. Pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from ontheflyspec import checks, rng
from ontheflyspec.data.table import Floats, Ints, twins

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
    """Batches in a row: batch ``b`` holds the clips ``order[start[b] : start[b] + size[b]]``, longest first.

    ``often`` tells of each of them how often it stands before, None where all are different.
    """

    order: Ints
    start: Ints
    size: Ints
    often: Ints | None = None

    def take(self, batches: Any) -> Plan:
        """Returns the plan of some of the batches, by a slice or by their positions."""
        return self._replace(start=self.start[batches], size=self.size[batches])


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


def count_batches(lengths: Ints, rules: Rules, key: int, world_size: int) -> int:
    """Returns the number of batches of all ranks in every epoch, a multiple of the ranks.

    It is that of the first epoch without its drawn cuts, plus one for each pool that is cut: later epochs, which are
    shuffled otherwise, need as many or fewer.

    Raises:
        ValueError: so many batches cannot be made of these clips.
    """
    plain = cut(lengths, rules, key, drawn=False)
    pools = 0
    if rules.shuffle:
        pool, n = np.arange(len(lengths)) // rules.pool, len(lengths)
        pools = int((np.bincount(pool[plain.start], minlength=-(-n // rules.pool)) > 1).sum())
    wanted = len(plain.start) + pools
    if rules.drop_last:
        count = wanted // world_size * world_size
        if not count:
            rule, got = f"at least one batch for each of {world_size} ranks", f"{wanted}"
            raise ValueError(checks.message(WHERE, rule, got, "Lower max_samples or pass drop_last=False."))
        return min(count, len(lengths) // world_size * world_size)
    count = min(-(-wanted // world_size), len(lengths) // world_size) * world_size
    if count < wanted and count < len(cut(lengths, rules._replace(shuffle=False), key).start):
        rule = f"batches that can be split into a multiple of {world_size}, one a rank"
        remedy = "Raise max_samples, pass drop_last=True, or use fewer ranks."
        raise ValueError(checks.message(WHERE, rule, f"{len(plain.start)} for {len(lengths)} clips", remedy))
    return count


def epoch_batches(lengths: Ints, rules: Rules, key: int, count: int, weights: Floats | None = None) -> Plan:
    """Returns the batches of an epoch, drawn by ``key``: ``count`` of them, or more with ``drop_last``.

    All clips are in them once. With weights, as many clips are drawn with replacement as there are, or as fit.

    Args:
        lengths: samples of each clip.
        rules: of batches.
        key: of the epoch.
        count: of `count_batches`.
        weights: how often each clip is drawn, relative to others, float64 ``[clips]``.
    """
    if weights is not None:
        plan = _drawn(lengths, rules, key, count, weights)
    else:
        plan = cut(lengths, rules, key)
        if len(plan.start) > count:
            plan = cut(lengths, rules, key, drawn=False)
        if len(plan.start) > count:  # as few as there can be
            plan = cut(lengths, rules, key, drawn=False, pool=len(lengths))
    return _split(plan, count - len(plan.start))


def _drawn(lengths: Ints, rules: Rules, key: int, count: int, weights: Floats) -> Plan:
    """Returns at most ``count`` batches of clips that are drawn with replacement."""
    ends = np.cumsum(weights)
    units = rng.uniform(torch.arange(len(lengths), device="cpu"), rng.fold(key, 4), 1)[:, 0].numpy()
    clips = np.searchsorted(ends / ends[-1], units, side="right")
    while True:
        clips = clips[: len(lengths)]
        plan = cut(lengths[clips], rules, key, drawn=False)
        if len(plan.start) <= count:
            order = clips[plan.order]
            return plan._replace(order=order, often=twins(order)[0])
        clips = clips[: min(len(clips) - 1, len(clips) * count // len(plan.start) + 1)]


def cut(lengths: Ints, rules: Rules, key: int, *, drawn: bool = True, pool: int | None = None) -> Plan:
    """Returns all clips in batches within the budget.

    Clips are shuffled, sorted in pools, longest first, and cut greedily. A pool that needs several batches is also cut
    at a drawn place in its first eighth, so that batch mates change from epoch to epoch even where one pool holds
    every clip. Without shuffling all clips are one pool.

    Args:
        lengths: samples of each clip.
        rules: of batches.
        key: of the epoch.
        drawn: whether pools are cut at drawn places, too.
        pool: clips that are sorted together, None for as many as the rules say.
    """
    n = len(lengths)
    order = permutation(n, rng.fold(key, 0)) if rules.shuffle else np.arange(n)
    pool = (pool or rules.pool) if rules.shuffle else n
    order = order[np.lexsort((-lengths[order], np.arange(n) // pool))]
    most = np.minimum(rules.max_samples // costs(lengths, rules)[order], rules.max_items or n).tolist()
    chances = rng.uniform(torch.arange(-(-n // pool), device="cpu"), rng.fold(key, 1), 1)[:, 0].tolist()
    cuts: list[int] = []
    for begin in range(0, n, pool):
        end = min(begin + pool, n)
        place = begin
        if drawn and rules.shuffle and most[begin] < end - begin:
            place += int(chances[begin // pool] * ((end - begin) // 8 + 2))
        cuts += _cuts(most, begin, place) + _cuts(most, place, end)
    start = np.array(cuts)
    return Plan(order, start, np.diff(start, append=n))


def _cuts(most: list[int], begin: int, end: int) -> list[int]:
    """Returns the first places of batches from ``begin`` to ``end``, each as large as its first clip allows."""
    cuts = []
    while begin < end:
        cuts.append(begin)
        begin += most[begin]
    return cuts


def deal(plan: Plan, lengths: Ints, rules: Rules, key: int, world_size: int, count: int | None = None) -> Plan:
    """Returns the batches in steps of ``world_size`` neighbours of like length, steps drawn by ``key``.

    If the number of batches does not divide, as after a change of ranks, the largest are split until it does; with
    ``drop_last`` a run of neighbours, drawn by ``key``, is left out.

    Raises:
        ValueError: there is no such split.
    """
    surplus = len(plan.start) % world_size if count is None else max(len(plan.start) - count, 0)
    if surplus and not rules.drop_last:
        plan = _split(plan, world_size - surplus, world_size)
    plan = plan.take(np.argsort(-lengths[plan.order[plan.start]], kind="stable"))
    if surplus and rules.drop_last:
        plan = _drop(plan, surplus, rules, key)
    steps = len(plan.start) // world_size
    turns = permutation(steps, rng.fold(key, 2)) if rules.shuffle else np.arange(steps)
    return plan.take((turns[:, None] * world_size + np.arange(world_size)).reshape(-1))


def _split(plan: Plan, times: int, world_size: int = 1) -> Plan:
    """Halves the batch with most clips, ``times`` times."""
    order, start, size, often = plan
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
    return Plan(order, start, size, often)


def _drop(plan: Plan, surplus: int, rules: Rules, key: int) -> Plan:
    """Leaves out ``surplus`` neighbouring batches, anywhere if shuffled, else the shortest."""
    places = len(plan.start) - surplus
    chance = float(rng.uniform(torch.zeros(1, dtype=torch.int64, device="cpu"), rng.fold(key, 3), 1))
    at = int(chance * (places + 1)) if rules.shuffle else places
    return plan.take(np.r_[0:at, at + surplus : places + surplus])
