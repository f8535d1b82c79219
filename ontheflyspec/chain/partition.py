"""How the items of a batch go different ways through the steps of a chain, and come together again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.augment.ranges import Params
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.chain.run import Targets, name, run_one
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.labels import Target, take
from ontheflyspec.transforms.base import Transform


def fits_masks(steps: nn.ModuleList, taken: Tensor) -> bool:
    """Returns whether items go different ways best by masks: while tracing, or if only a device knows the ways.

    Every step then runs on all items and leaves some alone, so steps must be augmentations through and through.
    """
    if taken.device.type == "cpu" and not torch.compiler.is_compiling():
        return False
    return not any(isinstance(part, Transform) for part in steps.modules())


def choose(
    chain: Any, batch: PaddedBatch, params: Params, taken: Tensor, targets: Targets
) -> tuple[PaddedBatch, Targets]:
    """Returns the batch after each step in turn, on the items for which ``taken``, bool ``[B, steps]``, names it."""
    if fits_masks(chain.steps, taken):
        return _masked(chain, batch, params, taken, targets)
    for place, rows in ways(taken).items():
        batch, targets = route(chain, batch, params, {place: rows}, targets)
    return batch, targets


def one_each(
    chain: Any, batch: PaddedBatch, params: Params, taken: Tensor, targets: Targets
) -> tuple[PaddedBatch, Targets]:
    """Returns the batch after the one step of each item, or none, that ``taken``, bool ``[B, steps]``, names."""
    if fits_masks(chain.steps, taken):
        return _masked(chain, batch, params, taken, targets)
    return route(chain, batch, params, ways(taken), targets)


def _masked(
    chain: Any, batch: PaddedBatch, params: Params, taken: Tensor, targets: Targets
) -> tuple[PaddedBatch, Targets]:
    """Returns the batch after each step on all items, active only for those that ``taken``, ``[B, steps]``, names."""
    for place in range(taken.shape[1]):
        if str(place) in params:
            table = restricted(params[str(place)], taken[:, place])
            batch, targets, _ = run_one(chain, place, batch, table, targets)
    return batch, targets


def restricted(table: Params, taken: Tensor) -> Params:
    """Returns the table of a step that leaves all items alone but those ``taken``, bool ``[B]``."""
    result: Params = {}
    for key, values in table.items():
        if isinstance(values, dict):
            result[key] = restricted(values, taken)
        elif key in ("active", "taken"):
            on = as_tensor(values, torch.bool)
            result[key] = on & taken.reshape(-1, *[1] * (on.dim() - 1))
        else:
            result[key] = values
    return result


def ways(taken: Tensor) -> dict[int, list[int]]:
    """Returns the positions of the items that take each step, from bool ``[B, steps]``."""
    return {place: [row for row, on in enumerate(chosen) if on] for place, chosen in enumerate(taken.T.tolist())}


def route(
    chain: nn.Module, batch: PaddedBatch, params: Params, ways: dict[int, list[int]], targets: Targets = ()
) -> tuple[PaddedBatch, Targets]:
    """Returns the batch after each step of ``ways`` on its own items; items on no way pass unchanged.

    Args:
        chain: has the ``steps``.
        batch: all items.
        params: tables of the random steps by place.
        ways: places to positions in the batch, each position once at most.
        targets: of all items.
    """
    parts, moved = [], []
    for place, rows in ways.items():
        if rows:
            table, own = params.get(str(place)), _targets_of(targets, rows)
            given = None if table is None else _pick(table, rows)
            out, own, _ = run_one(chain, place, _select(batch, rows), given, own)
            parts.append((name(chain.steps, place), rows, out))
            moved.append((rows, own))
    busy = {row for rows in ways.values() for row in rows}
    rest = [row for row in range(batch.data.shape[0]) if row not in busy]
    if rest or not parts:
        left = _select(batch, rest)
        own_data = left.data.clone() if left is batch else left.data
        parts.append(("items without a step", rest, left._replace(data=zero_past(own_data, left.lengths))))
        moved.append((rest, _targets_of(targets, rest)))
    merged = _merge(type(chain).__name__, parts)._replace(ids=batch.ids)
    return merged, [_put_back(target, place, moved) for place, target in enumerate(targets)]


def _targets_of(targets: Targets, rows: list[int]) -> Targets:
    return [target.take(rows) if isinstance(target, Target) else target for target in targets]


def _put_back(target: Any, place: int, moved: list[tuple[list[int], Targets]]) -> Any:
    """Returns one of the targets of all items, after those of some went their ways."""
    if not isinstance(target, Target):
        return target
    return target.put([(rows, own[place]) for rows, own in moved])


def _select(batch: PaddedBatch, rows: list[int]) -> PaddedBatch:
    if len(rows) == batch.data.shape[0]:
        return batch
    ids = None if batch.ids is None else take(batch.ids, rows)
    return PaddedBatch(take(batch.data, rows), take(batch.lengths, rows), batch.rate, ids)


def _pick(table: Params, rows: list[int]) -> Params:
    """Returns the rows of a table, of tensors or of the lists that JSON gives back."""
    return {
        key: _pick(values, rows)
        if isinstance(values, dict)
        else take(values, rows)
        if isinstance(values, Tensor)
        else [values[row] for row in rows]
        for key, values in table.items()
    }


def _merge(where: str, parts: list[tuple[str, list[int], PaddedBatch]]) -> PaddedBatch:
    """Returns one batch, padded to the longest, of parts with the positions of their items."""
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
    kind = first.data.dtype
    for _, _, part in parts:
        kind = torch.promote_types(kind, part.data.dtype)
    data = first.data.new_zeros((count, *first.data.shape[1:-1], longest), dtype=kind)
    lengths = first.lengths.new_zeros(count)
    for _, rows, part in parts:
        index = torch.tensor(rows, device="cpu")
        there = index.to(data.device, non_blocking=True)
        data[..., : part.data.shape[-1]].index_copy_(0, there, part.data.to(kind))
        lengths.index_copy_(0, index.to(lengths.device, non_blocking=True), part.lengths)
    return first._replace(data=data, lengths=lengths)


def _axes(batch: PaddedBatch) -> str:
    rate = "no known rate" if batch.rate is None else f"{batch.rate:g}"
    return f"{list(batch.data.shape[1:-1])} at {rate}"
