"""Base class of augmentations: random parameters drawn from declared ranges, and edits planned from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.ranges import Params, Range
from ontheflyspec.batch import PaddedBatch, as_float, as_tensor, check_input, with_targets
from ontheflyspec.functional.masks import Spans, gaps
from ontheflyspec.functional.time_maps import SampleMap, rearrange
from ontheflyspec.labels import Extent, Target, TimeMap, mixed
from ontheflyspec.op import Edit, Op, execute
from ontheflyspec.recordings import Bank, Waves, check_match, look_up

LEAST = 2.0**-33
"""Distance of the extreme numbers of `rng.uniform` from 0 and from 1."""


class Info(NamedTuple):
    """Metadata of a batch, all that a plan may depend on: it is made before the samples are there.

    Args:
        lengths: steps of each item, int64 ``[B]`` on any device.
        rate: steps per second, None if it is not known.
        shape: ``[B, ..., T]`` of the data; ``[B]`` if lengths alone are asked for.
        where: name that errors begin with.
        device: of the data, None if lengths alone are asked for.
    """

    lengths: Tensor
    rate: float | None
    shape: torch.Size
    where: str
    device: torch.device | None = None

    @classmethod
    def of(cls, batch: PaddedBatch, where: str) -> Info:
        """Returns the metadata of a batch."""
        return cls(batch.lengths, batch.rate, batch.data.shape, where, batch.data.device)

    @property
    def size(self) -> int:
        """Steps of the last axis, 0 if lengths alone are asked for."""
        return self.shape[-1] if len(self.shape) > 1 else 0

    @property
    def channels(self) -> int:
        """Channels of waveforms, 1 where they have no axis."""
        return self.shape[1] if len(self.shape) > 2 else 1

    @property
    def bands(self) -> int:
        """Bands of spectrograms, 0 if lengths alone are asked for."""
        return self.shape[-2] if len(self.shape) > 2 else 0

    def known_rate(self, what: str) -> float:
        """Returns the rate, or raises that ``what`` needs one."""
        return checks.known_rate(self.where, self.rate, what)

    def waves(self, bank: Bank, files: Tensor) -> Waves:
        """Returns the waves at positions ``files`` of a bank, counting round, or raises unless they fit the batch."""
        check_match(self.where, bank, self.known_rate(f"a bank of {bank.rate:g} Hz"), self.channels, self.device)
        return look_up(bank, files)

    def edit(self, op: Op[..., Any], active: Tensor | None, **options: Any) -> Edit:
        """Returns an edit by ``op`` that leaves lengths as they are."""
        return Edit(op, options, active, self.lengths, self.size)

    def rearranged(self, sample_map: SampleMap, lengths: Tensor, size: int) -> Edit:
        """Returns an edit that moves segments of items into results of ``lengths``, with a last axis of ``size``."""
        options = {"sample_map": sample_map, "size": size}
        return Edit(rearrange, options, None, lengths, size, lambda: self.moved(sample_map))

    def moved(self, sample_map: SampleMap) -> TimeMap:
        """Returns the time map, in seconds, of a map in samples."""
        return sample_map.time_map(self.known_rate("times in seconds"))

    def around(self, hidden: Spans) -> TimeMap:
        """Returns the time map, in seconds, of items that stay in place and lose the time of the hidden spans."""
        first, last = gaps(*hidden, self.lengths)
        return self.moved(SampleMap(first, last, first, torch.ones_like(first)))

    def one_piece(self, slope: Tensor) -> TimeMap:
        """Returns the time map of items stretched evenly: ``slope``, float64 ``[B]``, seconds for each of their own."""
        end = self.lengths.double().unsqueeze(-1) / self.known_rate("times in seconds")
        nothing = torch.zeros_like(end)
        return TimeMap(nothing, end, nothing, slope.unsqueeze(-1))

    def column(self, values: Tensor) -> Tensor:
        """Returns values ``[B]`` as ``[B, 1]`` on the device of the lengths."""
        return values.to(self.lengths.device, non_blocking=True).unsqueeze(-1)

    def after(self, edit: Edit) -> Info:
        """Returns the metadata of the batch after an edit."""
        lengths = self.lengths if edit.lengths is None else edit.lengths
        return self._replace(lengths=lengths, shape=torch.Size((*self.shape[:-1], edit.size)))


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
    """

    item_rank: int = 1
    """Axes of one item without channels: 1 for waveforms, 2 for spectrograms."""
    sample_rate: float | None = None
    """Hz of bare Tensors, None if it is not known."""
    mixes_items: ClassVar[bool] = False
    """Whether items of a batch meet."""
    changes_lengths: bool = False
    """Whether results have other lengths than items: `plan` is then asked for lengths alone as well."""

    def __init__(self, *, p: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        where = type(self).__name__
        self.p = checks.number(where, "p", p, low=0.0, high=1.0)
        self.seed = checks.integer(where, "seed", seed, low=-(2**63), high=2**63 - 1)

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
    return table


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


def followed(
    targets: Sequence[Any], edit: Edit, before: Info, after: Info, moved: TimeMap | None = None
) -> Sequence[Any]:
    """Returns targets after an edit; ``moved`` is its time map if only the operation itself knows it."""
    if edit.mixed is not None:
        return [mixed(before.where, target, *edit.mixed) for target in targets]
    time = edit.time if moved is None else lambda: moved
    if time is None or not any(isinstance(target, Target) for target in targets):
        return list(targets)
    time_map, spans = time(), [Extent(one.lengths, one.rate, one.shape[-1]) for one in (before, after)]
    return [target.follow(time_map, *spans) if isinstance(target, Target) else target for target in targets]


def last_axis(sizes: Tensor, bounds: Tensor) -> int:
    """Returns the largest of the sizes if they are on the host, else of their upper bounds, which are there."""
    known = sizes if sizes.device.type == "cpu" else bounds
    return int(known.max()) if known.numel() else 0


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
