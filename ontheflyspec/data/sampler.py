"""`BucketBatchSampler`: batches of clips of like length within a budget, reproducible and resumable at any step."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from ontheflyspec import checks, rng
from ontheflyspec.data import plan as planning
from ontheflyspec.data.place import Place, parse, refuse, write
from ontheflyspec.data.plan import WHERE, Plan, Rules
from ontheflyspec.data.table import Floats, Ints


class Draw(int):
    """The index of a clip, as samplers give it, that knows the epoch it is drawn in, and how often it came before.

    Args:
        index: position of the clip in its data set.
        epoch: number of the epoch, from 0.
        occurrence: how often this index came before in the epoch.

    Example:
        >>> import ontheflyspec as ofs
        >>> draw = ofs.Draw(7, epoch=2)
        >>> draw, draw.epoch, list(range(10))[draw]
        (Draw(7, epoch=2), 2, 7)
    """

    epoch: int
    occurrence: int

    def __new__(cls, index: int, epoch: int = 0, occurrence: int = 0) -> Draw:
        """Makes an index with an epoch."""
        draw = super().__new__(cls, index)
        draw.epoch, draw.occurrence = epoch, occurrence
        return draw

    def __reduce__(self) -> tuple[Any, ...]:
        return Draw, (int(self), self.epoch, self.occurrence)

    def __repr__(self) -> str:
        again = f", occurrence={self.occurrence}" if self.occurrence else ""
        return f"Draw({int(self)}, epoch={self.epoch}{again})"

    def __str__(self) -> str:
        return int.__repr__(self)


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of clips of like length, each within a budget of padded samples.

    An epoch is a list of batches that depends on the seed, the epoch, the lengths, the options and the world size
    alone: clips are shuffled, sorted in pools and cut so that clips times the longest stays within ``max_samples``.
    A step is ``world_size`` neighbouring batches, one a rank, so ranks work on clips of like length and all have the
    same number of steps; steps come in drawn order. Every clip is in exactly one batch of one rank an epoch. Within a
    batch the longest clip comes first.

    Every ``iter()`` plays the next epoch, the first one epoch 0, and `epoch` says which; an iterator that nobody
    advanced does not count. ``len()`` is the number of batches of an epoch on this rank, the same for every epoch and
    state: an epoch that needs fewer splits its largest batches.

    The sampler's own state counts what it gave; StatefulDataLoader and torchdata's SamplerWrapper keep it beside what
    they handed out. A loader that runs ahead counts for itself and asks `state_at`. A state holds for all ranks.

    Args:
        lengths: samples of each clip, whole numbers; a clip of 0 samples counts as one.
        max_samples: most samples of a padded batch: clips times the longest.
        max_items: most clips of a batch.
        shuffle: if False, all clips are one pool and steps go from the longest to the shortest, every epoch alike.
        seed: of all epochs.
        rank: number of this process, None to ask torch.distributed (0 if it is not initialised).
        world_size: number of processes; given or left out together with ``rank``.
        drop_last: leave out batches that do not fill a step, or that an epoch has too many, instead of splitting.
        pool: clips sorted together.
        quantise_samples: round the longest clip up to a multiple of this in the budget.
        weights: how often each clip is wanted, relative to others, ``[clips]``: as many as there are clips are drawn
            with replacement, or as fit into an epoch's batches, each time with an id of its own.

    Raises:
        ValueError: no clips, fewer clips than ranks, a clip that does not fit, or no way to share the batches evenly.
        TypeError: lengths or options that are no whole numbers.

    Example:
        >>> import ontheflyspec as ofs
        >>> sampler = ofs.BucketBatchSampler([900, 300, 1000, 200, 100], max_samples=2000, shuffle=False)
        >>> [list(map(int, batch)) for batch in sampler]
        [[2, 0], [1, 3, 4]]
    """

    def __init__(
        self,
        lengths: Sequence[int] | Tensor | np.ndarray[Any, Any],
        *,
        max_samples: int,
        max_items: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        pool: int = 4096,
        quantise_samples: int = 1,
        weights: Any = None,
    ) -> None:
        self.rules = Rules(
            checks.integer(WHERE, "max_samples", max_samples),
            None if max_items is None else checks.integer(WHERE, "max_items", max_items),
            checks.flag(WHERE, "shuffle", shuffle),
            checks.flag(WHERE, "drop_last", drop_last),
            checks.integer(WHERE, "pool", pool),
            checks.integer(WHERE, "quantise_samples", quantise_samples),
        )
        self.seed = checks.integer(WHERE, "seed", seed, low=-(2**63), high=2**63 - 1)
        self.rank, self.world_size = _rank(rank, world_size)
        self.lengths = _lengths(lengths, self.rules, self.world_size)
        self.weights = None if weights is None else _weights(weights, len(self.lengths), self.rules)
        known = repr(self.rules).encode() + self.lengths.astype("<i8").tobytes()
        known += b"" if self.weights is None else self.weights.astype("<f8").tobytes()
        self.plan_hash = hashlib.sha256(known).hexdigest()
        self._count = self._batches(self.world_size)
        self.epoch = 0
        """The epoch that is being played, or the next one before the first ``iter()``."""
        self._next = 0
        self._resumed = Place()
        self._pass: _Pass | None = None
        self._plans: dict[tuple[int, Any], Plan] = {}
        self._plan(0, Place())

    def set_epoch(self, epoch: int) -> None:
        """Makes the next ``iter()`` play ``epoch`` from its start; after `load_state_dict` its own epoch from there."""
        epoch = checks.integer(f"{WHERE}.set_epoch", "epoch", epoch, low=0)
        if epoch != self._next:
            self.epoch = self._next = epoch
            self._resumed, self._pass = Place(), None

    def __iter__(self) -> Iterator[list[int]]:
        """Returns the batches of the next epoch, each a list of `Draw`."""
        start = self._resumed
        own = self._plan(self._next, start).take(slice(self.rank, None, self.world_size))
        self._pass = _Pass(self._next, start, own, self._begun)
        self.epoch = self._next
        if self._pass.exhausted():
            self._begun(self._pass)
        return self._pass

    def __len__(self) -> int:
        return self._count // self.world_size

    def state_dict(self) -> dict[str, Any]:
        """Returns the state after all batches that the newest iterator gave; it is the same on all ranks."""
        if self._pass is None:
            return self._state(self._next, self._resumed)
        return self._state(self._pass.epoch, self._pass.place)

    def state_at(self, epoch: int, consumed: int) -> dict[str, Any]:
        """Returns the state of a loader that handed out ``consumed`` batches since the ``iter()`` that plays ``epoch``.

        After the last batch it is the start of the next epoch.

        Args:
            epoch: `epoch` as it was after that ``iter()``.
            consumed: batches handed out since then by this rank.
        """
        start = self._resumed if epoch == self._next else Place()
        if self._pass is not None and self._pass.epoch == epoch:
            start = self._pass.start
        place = start._replace(consumed=start.consumed + consumed)
        if place.consumed >= self._steps(epoch, place):
            return self._state(epoch + 1, Place())
        return self._state(epoch, place)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next ``iter()`` go on where a state was taken.

        With the same world size the batches are the very same. With another one the batches that are left are dealt
        anew: no clip is lost or comes twice in that epoch, and its id stays the same.

        Args:
            state: as `state_dict`, `state_at` or a loader of this package returned it.

        Raises:
            ValueError: the state belongs to other lengths, options or another seed, or cannot be dealt to these ranks.
        """
        epoch, place = parse(state, world_size=self.world_size, seed=self.seed, plan_hash=self.plan_hash)
        steps = self._steps(epoch, place)
        if place.consumed > steps:
            refuse("consumed", f"to be at most {steps}", place.consumed, "Load a state that this sampler made.")
        self.epoch = self._next = epoch
        self._resumed, self._pass = place, None

    def _begun(self, running: _Pass) -> None:
        """Counts the epoch of an iterator that was advanced as played."""
        if running is self._pass:
            self._next, self._resumed = running.epoch + 1, Place()

    def _state(self, epoch: int, place: Place) -> dict[str, Any]:
        return write(epoch, place, world_size=self.world_size, seed=self.seed, plan_hash=self.plan_hash)

    def _batches(self, world_size: int) -> int:
        """Returns the batches of an epoch on so many ranks together."""
        first = rng.fold(0, self.seed, 0)
        return planning.count_batches(self.lengths, self.rules, first, world_size)

    def _steps(self, epoch: int, place: Place) -> int:
        return len(self._plan(epoch, place).start) // self.world_size

    def _plan(self, epoch: int, place: Place) -> Plan:
        """Returns the batches of all ranks, made once and kept for the two epochs asked for last."""
        name = (epoch, place.earlier)
        if name not in self._plans:
            key = rng.fold(0, self.seed, epoch)
            turns = [*place.earlier, (self.world_size, 0)]
            count = self._batches(turns[0][0])
            plan = planning.epoch_batches(self.lengths, self.rules, key, count, self.weights)
            plan = planning.deal(plan, self.lengths, self.rules, key, turns[0][0], count)
            for (ranks, consumed), (then, _) in itertools.pairwise(turns):
                plan = plan.take(slice(consumed * ranks, None))
                plan = planning.deal(plan, self.lengths, self.rules, key, then)
            self._plans = dict([*self._plans.items(), (name, plan)][-2:])
        return self._plans[name]


class _Pass(Iterator[list[int]]):
    """One pass of a rank through its batches of an epoch, from ``start`` on; ``begun`` is called before the first."""

    def __init__(self, epoch: int, start: Place, plan: Plan, begun: Callable[[_Pass], None]) -> None:
        self.epoch, self.start, self.plan, self.begun = epoch, start, plan, begun
        self.place = start

    def exhausted(self) -> bool:
        """Returns whether no batch is left."""
        return self.place.consumed >= len(self.plan.start)

    def __next__(self) -> list[int]:
        if self.place == self.start:
            self.begun(self)
        if self.exhausted():
            raise StopIteration
        order, start, size, often = self.plan
        first = start[self.place.consumed]
        row = slice(first, first + size[self.place.consumed])
        before = itertools.repeat(0) if often is None else often[row].tolist()
        self.place = self.place._replace(consumed=self.place.consumed + 1)
        return [Draw(index, self.epoch, occurrence) for index, occurrence in zip(order[row].tolist(), before)]  # noqa: B905


def _rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Returns the rank and the world size, asked from torch.distributed if not given."""
    if (rank is None) != (world_size is None):
        got = f"rank={rank}, world_size={world_size}"
        raise ValueError(checks.message(WHERE, "rank and world_size both or none", got, "Give the other one too."))
    if rank is None or world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1
    world_size = checks.integer(WHERE, "world_size", world_size)
    return checks.integer(WHERE, "rank", rank, low=0, high=world_size - 1), world_size


def _weights(weights: Any, count: int, rules: Rules) -> Floats:
    """Returns float64 weights that clips can be drawn with, or raises what is wrong with them."""
    known = np.asarray(weights, np.float64)
    if known.shape != (count,) or not np.isfinite(known).all() or (known < 0).any() or not known.any():
        got = f"{list(known.shape)}" if known.shape != (count,) else f"values from {known.min():g} to {known.max():g}"
        rule = f"weights [{count}], one a clip, finite, not below 0, and one above"
        raise ValueError(checks.message(WHERE, rule, got, "Pass how often each clip is wanted, relative to others."))
    if not rules.shuffle:
        raise ValueError(checks.message(WHERE, "shuffle=True with weights", "False", "Leave one of them out."))
    return known


def _lengths(lengths: Any, rules: Rules, world_size: int) -> Ints:
    """Returns int64 lengths that can be planned, or raises what is wrong with them."""
    known = np.asarray(lengths)
    if known.size == 0:
        raise ValueError(checks.message(WHERE, "at least one length", "none", "Check that the data set has clips."))
    if known.ndim != 1 or known.dtype.kind not in "iu":
        got = f"{known.dtype} {list(known.shape)}"
        raise TypeError(checks.message(WHERE, "lengths as whole numbers [clips]", got, "Pass samples, not seconds."))
    known = known.astype(np.int64)
    if known.min() < 0:
        got = f"{known.min()} for clip {known.argmin()}"
        raise ValueError(checks.message(WHERE, "lengths of at least 0 samples", got, "Check how they were counted."))
    needed = planning.costs(known, rules)
    if needed.max() > rules.max_samples:
        worst = int(needed.argmax())
        got = f"{known[worst]} for clip {worst}"
        got += f" (rounded up to {needed[worst]})" if needed[worst] != known[worst] else ""
        remedy = "Set max_seconds of the data set or raise max_samples."
        raise ValueError(checks.message(WHERE, f"clips of at most max_samples = {rules.max_samples}", got, remedy))
    if len(known) < world_size:
        got = f"{len(known)} (lengths {known.tolist()})"
        raise ValueError(checks.message(WHERE, f"at least one clip a rank, {world_size}", got, "Use fewer ranks."))
    return known
