"""Partition of a batch among the steps of a choice: items are split by their step, run, and merged into one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.augment.base import each_column
from ontheflyspec.augment.ranges import Params
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.chain.compose import name
from ontheflyspec.chain.run import Ahead, Targets, look_ahead, run_all
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.labels import Target, check_count, merged, take
from ontheflyspec.plans import Info
from ontheflyspec.transfer import Placed
from ontheflyspec.transforms.base import Transform


def fits_masks(steps: nn.ModuleList, taken: Tensor) -> bool:
    """Returns whether every step runs on all items, masked, in place of a split: in traces, or with masks on a device.

    A split needs the masks on the host. Masked steps leave items alone, so that transforms, which cannot, rule it out.
    """
    if taken.device.type == "cpu" and not torch.compiler.is_compiling():
        return False
    return not any(isinstance(part, Transform) for part in steps.modules())


class Partition(NamedTuple):
    """The split of a batch among the steps of one turn.

    Args:
        rows: of the items that take each step, by place; those of items without a step at -1.
        items: the same as tensors, for those that have any.
        lengths: of these items.
        aheads: what is known of each step before it runs, by place.
        after: the batch after the turn, None if only its samples tell.
        placed: all values where the samples lie, None as long as they are not sent.
    """

    rows: dict[int, list[int]]
    items: dict[int, Tensor]
    lengths: dict[int, Tensor]
    aheads: dict[int, Ahead]
    after: Info | None = None
    placed: Placed | None = None


class Partitions(NamedTuple):
    """What is known of the turns of a choice before it runs, see `chain.run.Ahead`."""

    turns: list[Partition]
    placed: Placed | None = None

    def values(self) -> list[Any]:
        """Returns all that the turns need of the host where the samples lie."""
        return [[turn.items, turn.lengths, [ahead.values() for ahead in turn.aheads.values()]] for turn in self.turns]

    def sent(self, device: torch.device) -> Partitions:
        """Returns the same, with the values where the samples lie; no step looks at these lengths again."""
        self.trusted()
        return self._replace(placed=Placed(device, self.values()))

    def trusted(self) -> None:
        """Lets no step look at the lengths again."""
        for turn in self.turns:
            for ahead in turn.aheads.values():
                ahead.trusted()

    def of_turn(self, place: int) -> Partition | None:
        """Returns the partition of a turn, None if it is not known."""
        return self.turns[place]._replace(placed=self.placed) if place < len(self.turns) else None


def partitions(
    chain: Any, info: Info, params: Params, turns: Sequence[Mapping[int, Tensor]]
) -> tuple[Partitions, Info | None]:
    """Returns the partitions of the turns of a choice, and the batch after them; None if only its samples tell.

    Args:
        chain: has the ``steps``.
        info: of the batch.
        params: tables of the random steps by place.
        turns: places of steps, and which items take each, bool ``[B]``.
    """
    known, after = Partitions([]), None
    for turn in turns:
        if fits_masks(chain.steps, next(iter(turn.values()))) or info.lengths.device.type != "cpu":
            return known, None
        split, ends = divided(turn, info.lengths), []
        for place, index in split.items.items():
            own = info._replace(lengths=split.lengths[place], shape=torch.Size((len(index), *info.shape[1:])))
            if place >= 0:
                table = _tables(params, place, split.rows[place])
                split.aheads[place] = look_ahead(list(chain.steps)[: place + 1], place, own, table)
            ends.append((index, split.aheads[place].infos.get(place + 1) if place >= 0 else own))
        after = _merged_info(ends)
        known.turns.append(split._replace(after=after))
        if after is None:
            return known, None
        info = after
    return known, info


def divided(turn: Mapping[int, Tensor], lengths: Tensor) -> Partition:
    """Returns the split of a batch of items of these lengths by masks, bool ``[B]`` for each place."""
    taken_by = torch.stack(list(turn.values())).tolist()  # one transfer, if a device knows them
    rows = {place: [row for row, on in enumerate(ons) if on] for place, ons in zip(turn, taken_by, strict=True)}
    busy = {row for some in rows.values() for row in some}
    rows[-1] = [row for row in range(len(taken_by[0])) if row not in busy]
    items = {place: torch.tensor(some, dtype=torch.int64, device="cpu") for place, some in rows.items() if some}
    held = {place: lengths if len(one) == len(lengths) else take(lengths, one) for place, one in items.items()}
    return Partition(rows, items, held, {})


def one_each(
    chain: Any,
    batch: PaddedBatch,
    params: Params,
    turn: Mapping[int, Tensor],
    targets: Targets,
    known: Partition | None = None,
) -> tuple[PaddedBatch, Targets]:
    """Returns the batch after at most one step for each item; items that take none pass unchanged.

    The batch is split by steps, each step runs on its own items, and the results are merged in the order of the batch.

    Args:
        chain: has the ``steps``.
        batch: all items.
        params: tables of the random steps by place.
        turn: places of steps, and which items take each, bool ``[B]``; no item takes two.
        targets: of all items.
        known: what `partitions` has found for this turn.
    """
    if fits_masks(chain.steps, next(iter(turn.values()))):
        for place, taken in turn.items():
            if str(place) in params:
                given = {str(place): _restricted(params[str(place)], taken)}
                batch, targets = run_all(chain, batch, given, targets, place, place + 1)
        return batch, targets
    count, parts, moved = batch.data.shape[0], [], []
    for target in targets:
        if isinstance(target, Target):
            check_count(target, count)
    split = known or divided(turn, batch.lengths)
    placed = split.placed or Placed(batch.data.device, split.items, split.lengths)
    for place, index in split.items.items():
        rows = split.rows[place]
        own, ahead = _targets_of(targets, rows), split.aheads.get(place)
        part = _select(batch, index, placed)._replace(lengths=split.lengths[place])
        if place < 0:
            data = part.data.clone() if part.data is batch.data else part.data
            out = part._replace(data=zero_past(data, placed(part.lengths)))
        else:
            ahead = ahead and ahead._replace(placed=placed)
            out, own = run_all(chain, part, _tables(params, place, rows), own, place, place + 1, ahead)
        parts.append((name(chain.steps, place) if place >= 0 else "items without a step", index, out))
        moved.append((rows, own))
    if not parts:
        return batch, targets

    def together(place: int, target: Any) -> Any:
        if isinstance(target, PaddedBatch):
            beside = [(step, index, own[place]) for (step, index, _), (_, own) in zip(parts, moved, strict=True)]
            return _merge(type(chain).__name__, beside, placed)._replace(ids=target.ids)
        return merged([(rows, own[place]) for rows, own in moved]) if isinstance(target, Target) else target

    made = _merge(type(chain).__name__, parts, placed)._replace(ids=batch.ids)
    made = made if split.after is None else made._replace(lengths=split.after.lengths)
    return made, [together(place, target) for place, target in enumerate(targets)]


def _tables(params: Params, place: int, rows: list[int]) -> Params:
    """Returns the table of the step at a place for some items, under its place; nothing if it has none."""
    table = params.get(str(place))
    return {} if table is None else {str(place): each_column(table, partial(_rows, rows=rows))}


def _merged_info(parts: list[tuple[Tensor, Info | None]]) -> Info | None:
    """Returns the metadata of items that are merged; None where something is unknown, or they do not fit together."""
    infos = [info for _, info in parts if info is not None]
    if len(infos) < len(parts) or not parts:
        return None
    first = infos[0]
    if len(infos) == 1:
        return first
    if any(other.shape[1:-1] != first.shape[1:-1] or other.rate != first.rate for other in infos):
        return None
    lengths = torch.zeros(sum(len(index) for index, _ in parts), dtype=torch.int64, device="cpu")
    for (index, _), info in zip(parts, infos, strict=True):
        lengths.index_copy_(0, index, info.lengths)
    size = max(info.size for info in infos)
    return first._replace(lengths=lengths, shape=torch.Size((len(lengths), *first.shape[1:-1], size)))


def _targets_of(targets: Targets, rows: list[int]) -> Targets:
    return [_rows_of(target, rows) if isinstance(target, Target | PaddedBatch) else target for target in targets]


def _rows_of(target: Target | PaddedBatch, rows: Sequence[int]) -> Any:
    """Returns labels, or a second batch, of some items."""
    if not isinstance(target, PaddedBatch):
        return target.take(rows)
    ids = None if target.ids is None else take(target.ids, rows)
    return target._replace(data=take(target.data, rows), lengths=take(target.lengths, rows), ids=ids)


def _select(batch: PaddedBatch, rows: Tensor, placed: Placed) -> PaddedBatch:
    """Returns some items of a batch, with the lengths of all."""
    if len(rows) == batch.data.shape[0]:
        return batch
    ids = None if batch.ids is None else take(batch.ids, rows)
    return PaddedBatch(batch.data.index_select(0, placed(rows)), batch.lengths, batch.rate, ids)


def _rows(_: str, values: Any, rows: list[int]) -> Any:
    """Returns some rows of a table's column, a tensor or the list that JSON gives back."""
    return take(values, rows) if isinstance(values, Tensor) else [values[row] for row in rows]


def _restricted(table: Params, taken: Tensor) -> Params:
    """Returns the table of a step, or of a chain of steps, that leaves all items alone but ``taken``, bool ``[B]``."""

    def restrict(name: str, values: Any) -> Any:
        if name not in ("active", "taken"):
            return values
        on = as_tensor(values, torch.bool)
        return on & taken.reshape(-1, *[1] * (on.dim() - 1))

    return each_column(table, restrict)


def _merge(where: str, parts: list[tuple[str, Tensor, PaddedBatch]], placed: Placed) -> PaddedBatch:
    """Returns one batch, padded to the longest item, from parts: name of the step, positions of its items, batch."""
    first_name, _, first = parts[0]
    if len(parts) == 1:
        return first
    for other_name, _, other in parts[1:]:
        if other.data.shape[1:-1] != first.data.shape[1:-1] or other.rate != first.rate:
            rule = f"items of equal axes and rate, {_axes(first)} from {first_name}"
            got = f"{_axes(other)} from {other_name}"
            raise ValueError(checks.message(where, rule, got, "Choose among steps that give the same features."))
    longest = max(part.data.shape[-1] for _, _, part in parts)
    count = sum(len(rows) for _, rows, _ in parts)
    kind = reduce(torch.promote_types, [part.data.dtype for _, _, part in parts])
    data = first.data.new_zeros((count, *first.data.shape[1:-1], longest), dtype=kind)
    lengths = first.lengths.new_zeros(count)
    for _, rows, part in parts:
        data[..., : part.data.shape[-1]].index_copy_(0, placed(rows), part.data.to(kind))
        lengths.index_copy_(0, rows.to(lengths.device, non_blocking=True), part.lengths)
    return first._replace(data=data, lengths=lengths)


def _axes(batch: PaddedBatch) -> str:
    rate = "no known rate" if batch.rate is None else f"{batch.rate:g}"
    return f"{list(batch.data.shape[1:-1])} at {rate}"
