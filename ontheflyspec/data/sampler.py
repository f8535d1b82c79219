"""`BucketBatchSampler`: batches of clips of like length within a budget, reproducible and resumable at any step."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from ontheflyspec import checks, rng
from ontheflyspec.data import plan as planning
from ontheflyspec.data.dealt import birthplace, check_caller, check_ranks, prefetched
from ontheflyspec.data.draws import Draw, StandIn
from ontheflyspec.data.place import Place, parse, refuse, write
from ontheflyspec.data.plan import WHERE, Plan, Rules
from ontheflyspec.data.table import Floats, Ints
from ontheflyspec.identity import OCCURRENCE_BITS

_HEADS = 8
"""Clips that are tried in the place of a batch of which none can be read."""


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of clips of like length, each within a budget of padded samples.

    An epoch is a list of batches that depends on the seed, the epoch, the lengths, the options and the world size
    alone: clips are shuffled, sorted in pools and cut so that clips times the longest stays within ``max_samples``.
    A step is ``world_size`` neighbouring batches, one a rank, so ranks work on clips of like length and all have the
    same number of steps; steps come in drawn order. Every clip is in exactly one batch of one rank an epoch. Within a
    batch the longest clip comes first.

    The epoch is bound when an iterator is asked for its first batch: the first one is epoch 0, and the next one begins
    when the last batch was handed out, or where `set_epoch` says so. A pass that is broken off begins again, with a
    warning if it gave two batches or more. Rank and world size are asked at the first batch, too. ``len()`` is the
    number of batches of an epoch on this rank, the same for every epoch and state: an epoch that needs fewer splits
    its largest batches.

    The sampler's own state counts what it gave; StatefulDataLoader and torchdata's SamplerWrapper keep it beside what
    they handed out. A loader that runs ahead counts for itself and asks `state_at`. A state holds for all ranks.

    Args:
        lengths: samples of each clip, whole numbers; a clip of 0 samples counts as one.
        max_samples: most samples of a padded batch: clips times the longest.
        max_items: most clips of a batch.
        shuffle: if False, all clips are one pool and steps go from the longest to the shortest, every epoch alike.
        seed: of all epochs.
        rank: number of this process, None to ask torch.distributed where it is initialised, else torchrun's ``RANK``
            and ``WORLD_SIZE``, else 0.
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
        self._given = _given(rank, world_size)
        self._name, self._compared = birthplace(), False
        self.lengths = _lengths(lengths, self.rules, self.world_size)
        self.weights = None if weights is None else _weights(weights, len(self.lengths), self.rules)
        known = repr(self.rules).encode() + self.lengths.astype("<i8").tobytes()
        known += b"" if self.weights is None else self.weights.astype("<f8").tobytes()
        self.plan_hash = hashlib.sha256(known).hexdigest()
        self._next = 0
        self._resumed = Place()
        self._pass: Pass | None = None
        self._left: Pass | None = None
        """The pass that was running at `set_epoch`; it is the newest again if it goes on."""
        self._warned = False
        self._counts: dict[int, int] = {}
        self._plans: dict[tuple[int, Any, int], Plan] = {}
        self._batches(self.world_size)  # or raise now

    @property
    def rank(self) -> int:
        """Number of this process, as it is known now."""
        return (self._given or _asked())[0]

    @property
    def world_size(self) -> int:
        """Number of processes, as it is known now."""
        return (self._given or _asked())[1]

    @property
    def epoch(self) -> int:
        """The epoch that is being played, or the next one where its last batch was handed out."""
        return self._next

    @property
    def sampler(self) -> BucketBatchSampler:
        """The sampler itself, which trainers look for in a batch sampler to set the epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Makes the next ``iter()`` play ``epoch`` from its start; after `load_state_dict` its own epoch from there."""
        epoch = checks.integer(f"{WHERE}.set_epoch", "epoch", epoch, low=0)
        begun = self._pass is not None and not self._pass.ended
        if epoch != self._next or begun:
            self._next, self._resumed = epoch, Place()
            self._left, self._pass = self._pass, None

    def __iter__(self) -> Iterator[list[int]]:
        """Returns the batches of an epoch, each a list of `Draw`, counted as handed out."""
        check_caller(WHERE, sys._getframe(1))
        running = Pass(self, counts=True)
        running.prefetched = prefetched(sys._getframe(1))
        if self._resumed.consumed and self._resumed.consumed >= self._steps(self._next, self._resumed):
            running.bind()  # an epoch of which nothing is left is over now
        return running

    def ahead(self, names: Callable[[], str] = str) -> Pass:
        """Returns the batches of an epoch for a loader that runs ahead and tells how many it handed out.

        Args:
            names: gives a digest of the clips' names, for ranks to compare.
        """
        return Pass(self, counts=False, names=names)

    def __len__(self) -> int:
        check_caller(WHERE, sys._getframe(1))
        return self._batches(self.world_size) // self.world_size

    def state_dict(self) -> dict[str, Any]:
        """Returns the state after all batches that the newest iterator gave; it is the same on all ranks."""
        if self._pass is None:
            return self._state(self._next, self._resumed)
        return self._state(self._pass.epoch, self._pass.place)

    def state_at(self, epoch: int, consumed: int) -> dict[str, Any]:
        """Returns the state of a loader that handed out ``consumed`` batches of a pass that plays ``epoch``.

        After the last batch it is the start of the next epoch.

        Args:
            epoch: `epoch` as it was before that pass.
            consumed: batches that this rank handed out in it.
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
        self._next, self._resumed = epoch, place
        self._pass = self._left = None

    def bind(self, running: Pass) -> Plan:
        """Makes an iterator the newest one, with the epoch and the rank as they are now; returns its batches."""
        before = self._pass
        again = before is not None and not before.ended and before.epoch == self._next
        if before is not None and again and before.given > 1 + before.prefetched and not self._warned:
            self._warned = True
            rule, got = (
                "a pass to be played to its end",
                f"{before.given} batches of it: epoch {self._next} begins again",
            )
            checks.warn(checks.message(WHERE, rule, got, f"To go on, call set_epoch({self._next + 1})."))
        rank, world_size = self._given or _asked()
        if not self._given and world_size > 1 and not self._compared:
            known = f"{len(self.lengths)} clips with seed {self.seed} and plan {self.plan_hash[:12]}{running.names()}"
            check_ranks(WHERE, self._name, rank, known)
            self._compared = True
        running.epoch, running.start = self._next, self._resumed
        self._pass, self._left = running, None
        plan = self._plan(self._next, self._resumed, world_size)
        running.numbers = sum(ranks * steps for ranks, steps in self._resumed.earlier) + rank, world_size
        running.repeats = 1 if plan.often is None else int(plan.often.max()) + 1
        return plan.take(slice(rank, None, world_size))

    def reached(self, running: Pass) -> None:
        """Notes that an iterator went on; at its end its epoch counts as played."""
        if running is self._left:
            self._pass, self._left = running, None
        if running is self._pass and running.ended and self._next == running.epoch:
            self._next, self._resumed = running.epoch + 1, Place()

    def _state(self, epoch: int, place: Place) -> dict[str, Any]:
        return write(epoch, place, world_size=self.world_size, seed=self.seed, plan_hash=self.plan_hash)

    def _batches(self, world_size: int) -> int:
        """Returns the batches of an epoch on so many ranks together."""
        if world_size not in self._counts:
            first = rng.fold(0, self.seed, 0)
            self._counts[world_size] = planning.count_batches(self.lengths, self.rules, first, world_size)
        return self._counts[world_size]

    def _steps(self, epoch: int, place: Place) -> int:
        return len(self._plan(epoch, place, self.world_size).start) // self.world_size

    def _plan(self, epoch: int, place: Place, world_size: int) -> Plan:
        """Returns the batches of all ranks, made once and kept for the two epochs asked for last."""
        name = (epoch, place.earlier, world_size)
        if name not in self._plans:
            key = rng.fold(0, self.seed, epoch)
            turns = [*place.earlier, (world_size, 0)]
            count = self._batches(turns[0][0])
            plan = planning.epoch_batches(self.lengths, self.rules, key, count, self.weights)
            plan = planning.deal(plan, self.lengths, self.rules, key, turns[0][0], count)
            for (ranks, consumed), (then, _) in itertools.pairwise(turns):
                plan = plan.take(slice(consumed * ranks, None))
                plan = planning.deal(plan, self.lengths, self.rules, key, then)
            self._plans = dict([*self._plans.items(), (name, plan)][-2:])
        return self._plans[name]


class Pass(Iterator[list[int]]):
    """One pass of a rank through its batches of an epoch, which is bound at the first.

    Args:
        sampler: whose epoch it plays.
        counts: whether what it gives is handed out; if not, `reached` tells.
        names: gives a digest of the clips' names.
    """

    epoch: int
    start: Place
    numbers: tuple[int, int]
    """Number in the epoch, over all ranks, of this rank's first batch, and the step to the next."""
    repeats: int
    """How often the most frequent clip comes in the epoch."""

    def __init__(self, sampler: BucketBatchSampler, *, counts: bool, names: Callable[[], str] = str) -> None:
        self.sampler, self.counts, self.names = sampler, counts, names
        self.plan: Plan | None = None
        self.taken = self.given = self.prefetched = 0

    @property
    def ended(self) -> bool:
        """Whether the last batch was handed out."""
        return self.plan is not None and self.start.consumed + self.given >= len(self.plan.start)

    @property
    def place(self) -> Place:
        """The place in the epoch after what was handed out."""
        return self.start._replace(consumed=self.start.consumed + self.given)

    def bind(self) -> Plan:
        """Returns the batches, of the epoch that is the sampler's next when they are first asked for."""
        if self.plan is None:
            self.plan = self.sampler.bind(self)
            self.reached(0)
        return self.plan

    def reached(self, given: int) -> None:
        """Notes that so many batches of this pass were handed out."""
        self.given = given
        self.sampler.reached(self)

    def __next__(self) -> list[int]:
        order, starts, sizes, often = self.bind()
        number = self.start.consumed + self.taken
        if number >= len(starts):
            raise StopIteration
        row = slice(starts[number], starts[number] + sizes[number])
        before = itertools.repeat(0) if often is None else often[row].tolist()
        self.taken += 1
        if self.counts:
            self.reached(self.taken)
        pairs = zip(order[row].tolist(), before)  # noqa: B905
        draws: list[Any] = [Draw(index, self.epoch, occurrence) for index, occurrence in pairs]
        draws[0].stand_in = StandIn(self.heads, self._spare(self.numbers[0] + number * self.numbers[1]))
        return draws

    @functools.cached_property
    def heads(self) -> tuple[int, ...]:
        """The first clips of the plan."""
        order, starts, sizes, _ = self.bind()
        rows = zip(starts[:_HEADS].tolist(), sizes[:_HEADS].tolist(), strict=True)
        return tuple(np.concatenate([order[start : start + size] for start, size in rows])[:_HEADS].tolist())

    def _spare(self, number: int) -> int:
        """Returns an occurrence that no draw of the epoch has, a different one for each of its batches."""
        return self.repeats + number % ((1 << OCCURRENCE_BITS) - self.repeats)


def _given(rank: int | None, world_size: int | None) -> tuple[int, int] | None:
    """Returns rank and world size as given, None where they are to be asked for."""
    if (rank is None) != (world_size is None):
        got = f"rank={rank}, world_size={world_size}"
        raise ValueError(checks.message(WHERE, "rank and world_size both or none", got, "Give the other one too."))
    if rank is None or world_size is None:
        return None
    world_size = checks.integer(WHERE, "world_size", world_size)
    return checks.integer(WHERE, "rank", rank, low=0, high=world_size - 1), world_size


def _asked() -> tuple[int, int]:
    """Returns rank and world size of torch.distributed, of torchrun, or those of a single process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or world_size is None:
        return 0, 1
    if not (rank.isdigit() and world_size.isdigit() and int(rank) < int(world_size)):
        got = f"RANK={rank}, WORLD_SIZE={world_size}"
        raise ValueError(checks.message(WHERE, "RANK below WORLD_SIZE in the environment", got, "Set or unset both."))
    return int(rank), int(world_size)


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
