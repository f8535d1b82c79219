"""Partition of a batch among the steps of a choice: items are split by their step, run, and merged into one batch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.augment.base import each_column
from ontheflyspec.augment.ranges import Params
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.chain.compose import name
from ontheflyspec.chain.run import Targets, run_all
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.labels import Target, check_count, merged, take
from ontheflyspec.transfer import Placed
from ontheflyspec.transforms.base import Transform


def fits_masks(steps: nn.ModuleList, taken: Tensor) -> bool:
    """Returns whether every step runs on all items, masked, in place of a split: in traces, or with masks on a device.

    A split needs the masks on the host. Masked steps leave items alone, so that transforms, which cannot, rule it out.
    """
    if taken.device.type == "cpu" and not torch.compiler.is_compiling():
        return False
    return not any(isinstance(part, Transform) for part in steps.modules())


def one_each(
    chain: Any, batch: PaddedBatch, params: Params, turn: Mapping[int, Tensor], targets: Targets
) -> tuple[PaddedBatch, Targets]:
    """Returns the batch after at most one step for each item; items that take none pass unchanged.

    The batch is split by steps, each step runs on its own items, and the results are merged in the order of the batch.

    Args:
        chain: has the ``steps``.
        batch: all items.
        params: tables of the random steps by place.
        turn: places of steps, and which items take each, bool ``[B]``; no item takes two.
        targets: of all items.
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
    taken_by = torch.stack(list(turn.values())).tolist()  # one transfer, if a device knows them
    ways = {place: [row for row, on in enumerate(ons) if on] for place, ons in zip(turn, taken_by, strict=True)}
    busy = {row for rows in ways.values() for row in rows}
    rest = [row for row in range(count) if row not in busy]
    index = {place: torch.tensor(rows, dtype=torch.int64, device="cpu") for place, rows in {**ways, -1: rest}.items()}
    placed = Placed(batch.data.device, index)
    for place, rows in ways.items():
        if rows:
            table, own = params.get(str(place)), _targets_of(targets, rows)
            given = {} if table is None else {str(place): each_column(table, partial(_rows, rows=rows))}
            out, own = run_all(chain, _select(batch, index[place], placed), given, own, place, place + 1)
            parts.append((name(chain.steps, place), index[place], out))
            moved.append((rows, own))
    if rest or not parts:
        left = _select(batch, index[-1], placed)
        own_data = left.data.clone() if left is batch else left.data
        parts.append(("items without a step", index[-1], left._replace(data=zero_past(own_data, left.lengths))))
        moved.append((rest, _targets_of(targets, rest)))
    together = [
        merged([(rows, own[place]) for rows, own in moved]) if isinstance(target, Target) else target
        for place, target in enumerate(targets)
    ]
    return _merge(type(chain).__name__, parts, placed)._replace(ids=batch.ids), together


def _targets_of(targets: Targets, rows: list[int]) -> Targets:
    return [target.take(rows) if isinstance(target, Target) else target for target in targets]


def _select(batch: PaddedBatch, rows: Tensor, placed: Placed) -> PaddedBatch:
    if len(rows) == batch.data.shape[0]:
        return batch
    ids = None if batch.ids is None else take(batch.ids, rows)
    return PaddedBatch(batch.data.index_select(0, placed(rows)), take(batch.lengths, rows), batch.rate, ids)


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
