"""What every random step is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.batch import PaddedBatch, as_float, as_tensor, lift
from ontheflyspec.targets import ClipLabels, Pieces, Target

Params = dict[str, Any]
"""A table of host parameters, one ``[B]`` row or more a name; chains hold tables of tables."""


class Augment(nn.Module, ABC):
    """A random step in two parts: `draw` makes a table of parameters on the host, `apply` uses it.

    A subclass draws in `sample` and computes in `change`; if it moves time, it says so in `pieces`. Called with a
    Tensor, a PaddedBatch, or a tuple or list that begins with one, whose `FrameLabels`, `Segments` and `ClipLabels`
    follow while all else comes back untouched. What an item gets depends on its id, the seed and the place in the
    chain alone; without ids, fresh ones come from torch's CPU generator at every call. ``.eval()`` turns the step off.

    Args:
        p: probability that an item is changed.
        seed: makes two steps of one kind differ.
    """

    item_rank: int = 1
    """Axes of one item without channels: 1 for waveforms, 2 for spectrograms."""
    sample_rate: float | None = None
    """Hz of bare Tensors, None where nobody says."""
    mixes_items: ClassVar[bool] = False
    by_rows: bool = False
    """Whether on a CPU `change` reads the data in `map_rows` alone, so that chains may put that off.

    Each class says so for itself: one derived from it may read its results.
    """

    def __init__(self, *, p: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        where = type(self).__name__
        self.p = checks.number(where, "p", p, low=0.0, high=1.0)
        self.seed = checks.integer(where, "seed", seed, low=-(2**63), high=2**63 - 1)

    @abstractmethod
    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns the table of parameters for items with these ids; ``key`` None stands for the step's own seed."""

    @abstractmethod
    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns a checked float batch changed as a table says, exactly 0 past each length."""

    def draw(self, items: Tensor | PaddedBatch, key: int | None = None) -> Params:
        """Returns what would be drawn: for ids a table of tensors, for a batch one of lists, as JSON takes them.

        A batch without ids gets fresh ones.
        """
        return drawn(self, items, key)

    def apply(self, batch: Any, params: Params | None = None) -> Any:
        """Returns the batch changed as a table of `draw` says; items that are not active keep their valid part.

        With a function alone it is ``nn.Module.apply``, which models call on all their modules.
        """
        if params is None:
            return super().apply(batch)
        return self._changed_as(self.checked(batch), params)

    def replay(self, x: Any, params: Params) -> Any:
        """Returns what loaders yield changed as a table of `draw` says, in ``.eval()``, too."""
        return self._with_targets(x, lambda batch, targets: self.carry(batch, targets, params))

    def carry(self, batch: PaddedBatch, targets: Sequence[Any], params: Params) -> tuple[PaddedBatch, Sequence[Any]]:
        """Returns the batch changed as a table says, and its targets."""
        batch = self.checked(batch)
        out = self._changed_as(batch, params)
        if self.mixes_items:
            return out, [self.mix(target, params) for target in targets]
        moves = self.pieces(batch, params) if any(isinstance(target, Target) for target in targets) else None
        if moves is None:
            return out, list(targets)
        return out, [target.follow(moves, batch, out) if isinstance(target, Target) else target for target in targets]

    def mix(self, target: Any, params: Params) -> Any:
        """Returns the labels of items that were mixed as a table says, or raises what cannot be mixed."""
        where, got = type(self).__name__, type(target).__name__
        if not isinstance(target, ClipLabels):
            remedy = "Wrap labels of clips in ofs.ClipLabels; leave other targets out."
            raise TypeError(checks.message(where, "targets that can be mixed", got, remedy))
        step: Any = self
        return target._replace(data=step.targets(target.data, params, n_classes=target.n_classes))

    def checked(self, batch: PaddedBatch) -> PaddedBatch:
        """Returns the batch as floats, or raises what is wrong with it."""
        where, data = type(self).__name__, batch.data
        checks.dtype(where, data, checks.WAVE_DTYPES if self.item_rank == 1 else checks.FEATURE_DTYPES)
        checks.rank(where, data, self.item_rank, batched=True)
        checks.lengths(where, batch.lengths, data.shape[0], data.shape[-1])
        return batch._replace(data=as_float(data))

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:  # noqa: ARG002
        """Returns steps out for steps in; where lengths are drawn, for one table of `draw`."""
        return lengths

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces | None:  # noqa: ARG002
        """Returns where a table moves the time of each item of a batch, None if all stays in its place."""
        return None

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training

    def forward(self, x: Any) -> Any:
        """Changes what loaders yield; see the class."""
        return self._with_targets(x, self._changed)

    def _with_targets(
        self, x: Any, change: Callable[[PaddedBatch, Sequence[Any]], tuple[PaddedBatch, Sequence[Any]]]
    ) -> Any:
        """Returns what a change makes of a Tensor, a batch, or a tuple or list of a batch and targets."""
        if type(x) in (tuple, list) and x and isinstance(x[0], PaddedBatch):
            batch, targets = change(x[0], x[1:])
            return type(x)([batch, *targets])

        def alone(batch: PaddedBatch) -> PaddedBatch:
            return change(batch, [])[0]

        return lift(type(self).__name__, x, alone, lambda data: as_full_batch(self, data, alone))

    def uniform(self, ids: Tensor, key: int | None, n: int) -> Tensor:
        """Returns float64 ``[B, n]`` in (0, 1) for these ids; the first column decides on ``p``."""
        return rng.uniform(ids, rng.fold(0, self.seed) if key is None else key, n)

    def _changed_as(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns a checked batch changed as a table says; one of no items as it is, which FFT libraries refuse."""
        items = batch.data.shape[0]
        for name, values in params.items():
            if isinstance(values, Tensor | list) and len(values) != items:
                rule, remedy = f"a table for {items} items", "Draw it for this batch: step.draw(batch)."
                raise ValueError(checks.message(type(self).__name__, rule, f"{len(values)} in {name}", remedy))
        return self.change(batch, params) if items else batch

    def _changed(self, batch: PaddedBatch, targets: Sequence[Any]) -> tuple[PaddedBatch, Sequence[Any]]:
        if not self.is_random():
            return self.checked(batch), list(targets)
        return self.carry(batch, targets, self.sample(ids_of(batch)))


def ids_of(batch: PaddedBatch) -> Tensor:
    """Returns the ids of a batch, fresh ones if it has none."""
    return rng.fresh_ids(batch.data.shape[0]) if batch.ids is None else batch.ids


def drawn(step: Any, items: Tensor | PaddedBatch, key: int | None) -> Params:
    """Returns the table of a step for ids, as tensors, or for a batch, as lists."""
    table: Params = step.sample(items if isinstance(items, Tensor) else ids_of(items), key)
    return table if isinstance(items, Tensor) else as_lists(table)


def as_lists(table: Any) -> Any:
    """Returns a table as JSON takes it."""
    if isinstance(table, dict):
        return {name: as_lists(values) for name, values in table.items()}
    return table.tolist() if isinstance(table, Tensor) else table


def as_full_batch(step: Any, data: Tensor, on_batch: Callable[[PaddedBatch], Any]) -> Any:
    """Returns what a step makes of a Tensor of one item or more, taken as a batch of full ones."""
    checks.rank(type(step).__name__, data, step.item_rank, batched=False)
    single = data.dim() == step.item_rank
    items = data.unsqueeze(0) if single else data
    rate = math.nan if step.sample_rate is None else step.sample_rate
    out = on_batch(PaddedBatch(items, torch.full((items.shape[0],), items.shape[-1], device="cpu"), rate))
    if isinstance(out, dict):
        return {name: one.data[0] if single else one.data for name, one in out.items()}
    return out.data[0] if single else out.data


def known_rate(where: str, batch: PaddedBatch, what: str) -> float:
    """Returns the rate of a batch, or raises that it is not known, for ``what``."""
    if math.isnan(batch.rate):
        rule = f"a batch that knows its rate, for {what}"
        raise ValueError(checks.message(where, rule, "none", "Wrap waveforms with ofs.pad(..., rate=...)."))
    return batch.rate


def between(unit: Tensor, span: tuple[float, float]) -> Tensor:
    """Returns numbers in (0, 1) stretched to ``span``."""
    return span[0] + unit * (span[1] - span[0])


def column(values: Any, dtype: torch.dtype) -> Tensor:
    """Returns one row of a table, as drawn or as JSON gives it back, as a tensor."""
    return as_tensor(values, dtype)
