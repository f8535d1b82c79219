"""Base class of augmentations: random parameters drawn from declared ranges, and edits planned from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.ranges import Params, Range
from ontheflyspec.batch import PaddedBatch, as_float, as_tensor, by_key, check_input, with_targets
from ontheflyspec.op import Edit, execute
from ontheflyspec.options import call_of, remembering
from ontheflyspec.plans import Info, followed

LEAST = 2.0**-33
"""Distance of the extreme numbers of `rng.uniform` from 0 and from 1."""


class Augment(nn.Module, ABC):
    """A random step: `draw` makes a table of parameters on the host, `replay` applies a table.

    A subclass declares random parameters in `ranges` and turns a table of them into an edit in `plan`. A step is called
    with a Tensor, a PaddedBatch, or a tuple or list that begins with a PaddedBatch; there `FrameLabels`, `Segments` and
    `ClipLabels` follow the audio, while all else comes back untouched. An item's parameters depend on its id, the seed
    and the place in the chain alone; without ids, fresh ones come from torch's CPU generator at every call. ``.eval()``
    turns the step off.

    Args:
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Raises:
        ValueError: a probability outside 0..1.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> from ontheflyspec.augment.ranges import uniform
        >>> from ontheflyspec.functional.masks import scale_items
        >>> class Amplify(ofs.Augment):
        ...     def ranges(self):
        ...         return {"factor": uniform((2.0, 2.5))}
        ...
        ...     def plan(self, info, params):
        ...         return info.edit(scale_items, None, factors=torch.where(params["active"], params["factor"], 1))
        >>> Amplify()(torch.tensor([1.0, -3.0])) >= torch.tensor([2.0, -7.5])
        tensor([True, True])
    """

    item_rank: int = 1
    """Axes of one item without channels: 1 for waveforms, 2 for spectrograms."""
    sample_rate: float | None = None
    """Hz of bare Tensors, None if it is not known."""
    mixes_items: ClassVar[bool] = False
    """Whether items of a batch meet."""
    changes_lengths: bool = False
    """Whether results have other lengths than items: `plan` is then asked for lengths alone as well."""

    takes_int16: ClassVar[bool] = True
    """Whether loaders may hand it int16 batches, which mean value / 32768."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Keeps the arguments of constructors, for ``repr``."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = remembering(cls.__init__)  # type: ignore[method-assign]

    @remembering
    def __init__(self, *, p: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        where = type(self).__name__
        self.p = checks.number(where, "p", p, low=0.0, high=1.0)
        self.seed = checks.integer(where, "seed", seed, low=-(2**63), high=2**63 - 1)

    def __repr__(self) -> str:
        return call_of(self)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of each parameter by name, drawn in this order after ``active``; none by default."""
        return {}

    @abstractmethod
    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that a table makes of a batch.

        Args:
            info: of the batch.
            params: the table, with tensors of the types that the ranges have, and ``active``, bool ``[B]``.
        """

    def draw(self, items: Tensor | PaddedBatch, key: int | None = None) -> Params:
        """Returns the table that a call would draw: of tensors for ids, of lists for a batch, as JSON takes them.

        Args:
            items: ids, or a batch; a batch without ids gets fresh ones.
            key: of the stream, None for that of the step's own seed.
        """
        if isinstance(items, PaddedBatch):
            return as_lists(self.draw(ids_of(items), key))
        ranges = self.ranges()
        count = 1 + sum(one.columns for one in ranges.values())
        return _table(self, rng.uniform(items, rng.fold(0, self.seed) if key is None else key, count), ranges)

    def replay(self, x: Any, params: Params) -> Any:
        """Applies the edit of a table of `draw` to a Tensor, a batch, or a batch with targets; in ``.eval()``, too."""
        return with_targets(self, x, lambda batch, targets: changed(self, batch, params, targets))

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in; where they depend on draws, for one table of `draw`."""
        if params is None and not (self.changes_lengths and self.training and self.p > 0):
            return lengths
        given = as_tensor(lengths, torch.int64)
        if params is not None:
            return _lengths(self, given, params)
        tries = self._tries()
        count = len(tries["active"])
        table = {name: values.repeat_interleave(given.numel(), 0) for name, values in tries.items()}
        made = _lengths(self, given.reshape(-1).repeat(count), table).reshape(count, -1)
        if bool((made != made[:1]).any()):
            rule, remedy = "the table of a draw", "Pass params=step.draw(ids)."
            raise ValueError(checks.message(type(self).__name__, rule, "none", remedy))
        return made[0].reshape(given.shape) if isinstance(lengths, Tensor) else int(made[0, 0])

    def __call__(self, x: Any, *, key: str | None = None) -> Any:
        """Changes what loaders yield; a dictionary has its batch under ``key``."""
        call = super().__call__
        return by_key(type(self).__name__, call, x, key) if isinstance(x, Mapping) else call(x)

    def forward(self, x: Any) -> Any:
        """Changes what loaders yield; see the class."""

        def change(batch: PaddedBatch, targets: Sequence[Any]) -> tuple[PaddedBatch, Sequence[Any]]:
            if not self.training:
                return checked(self, batch), list(targets)
            return changed(self, batch, self.draw(ids_of(batch)), targets)

        return with_targets(self, x, change)

    def _tries(self) -> Params:
        """Returns a table whose rows give every length that can be drawn: ends of ranges, or each of a few values."""
        ranges = self.ranges()
        count = max([1, *(one.ways for one in ranges.values())])
        tries = torch.arange(count + (self.p < 1), dtype=torch.float64, device="cpu").unsqueeze(-1)
        units = [(tries == count).double()]  # the last one is not active, where items may not be
        for one in ranges.values():
            unit = (tries % one.ways + 0.5) / one.ways
            unit = torch.where(unit < 0.5, LEAST, 1 - LEAST) if one.ways == 2 else unit
            units.append(unit.expand(-1, one.columns))
        return _table(self, torch.cat(units, 1), ranges)


def _table(step: Augment, unit: Tensor, ranges: dict[str, Range]) -> Params:
    """Returns the table that a step makes of random numbers in (0, 1), ``[B, 1 + columns]``."""
    params: Params = {"active": unit[:, 0] < step.p}
    first = 1
    for name, one in ranges.items():
        params[name] = one.make(unit[:, first : first + one.columns], params)
        first += one.columns
    return params


def _lengths(step: Augment, lengths: Tensor, params: Params) -> Tensor:
    """Returns steps out for steps in, ``[B]`` or one for all items, for a table."""
    rows = lengths.expand(len(params["active"])) if lengths.dim() == 0 or len(lengths) == 1 else lengths
    info = Info(rows, step.sample_rate, rows.shape, type(step).__name__)
    table = _typed(step, info, params)
    made = step.plan(info, table).lengths if step.changes_lengths else rows
    if made is None:
        rule, remedy = "samples, which new lengths depend on", "Take the lengths of the batch that comes out."
        raise ValueError(checks.message(info.where, rule, "lengths alone", remedy))
    return made


def planned(step: Augment, info: Info, params: Params) -> Edit:
    """Returns the edit that a step makes of a table, as drawn or as JSON gives it back."""
    return step.plan(info, _typed(step, info, params))


def _typed(step: Augment, info: Info, params: Params) -> Params:
    """Returns a table as tensors of the types of a step's ranges, or raises unless it is one for this batch."""
    types = {name: one.dtype for name, one in step.ranges().items()}
    items, table = info.shape[0], {}
    for name, dtype in {"active": torch.bool, **types}.items():
        if name not in params:
            remedy = "Draw it with this step: step.draw(batch)."
            raise ValueError(checks.message(info.where, f"a table with {name}", list(params), remedy))
        table[name] = as_tensor(params[name], dtype)
        if len(table[name]) != items:
            rule, remedy = f"a table for {items} items", "Draw it for this batch: step.draw(batch)."
            raise ValueError(checks.message(info.where, rule, f"{len(table[name])} in {name}", remedy))
    others = {name: value for name, value in params.items() if name not in table}  # of a draw of one's own
    return {**table, **{name: as_tensor(value) if isinstance(value, list) else value for name, value in others.items()}}


def checked(step: Any, batch: PaddedBatch) -> PaddedBatch:
    """Returns the batch as floats, or raises unless a step takes its type, rank and lengths."""
    check_input(type(step).__name__, batch, step.item_rank)
    return batch._replace(data=as_float(batch.data))


def changed(
    step: Augment, batch: PaddedBatch, params: Params, targets: Sequence[Any] = ()
) -> tuple[PaddedBatch, Sequence[Any]]:
    """Returns a batch and its targets after the edit of a table; a batch of no items as it is."""
    batch = checked(step, batch)
    if not batch.data.shape[0]:  # FFT libraries refuse to transform nothing
        return batch, list(targets)
    info = Info.of(batch, type(step).__name__)
    edit = planned(step, info, params)
    after, moved = execute({0: edit}, batch)
    return after, followed(targets, edit, info, Info.of(after, info.where), moved)


def ids_of(batch: PaddedBatch) -> Tensor:
    """Returns the ids of a batch, fresh ones if it has none."""
    return rng.fresh_ids(batch.data.shape[0]) if batch.ids is None else batch.ids


def each_column(table: Params, change: Callable[[str, Any], Any]) -> Params:
    """Returns a table, or a table of tables, with ``change(name, column)`` in place of each column."""
    return {
        name: each_column(column, change) if isinstance(column, dict) else change(name, column)
        for name, column in table.items()
    }


def as_lists(table: Params) -> Params:
    """Returns a table, or a table of tables, with lists in place of tensors, as JSON takes it."""
    return each_column(table, lambda _, column: column.tolist())
