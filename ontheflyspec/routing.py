"""How chains run their steps: keys and tables by place, errors that name the step, items that go different ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.base import Augment, Params, column
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.masking import zero_past
from ontheflyspec.transforms.base import Pointwise, Transform


def checked_steps(where: str, steps: Iterable[nn.Module], *, alike: bool) -> nn.ModuleList:
    """Returns the checked steps of a chain; ``alike``: all must take what the first takes."""
    known: list[Any] = list(steps)
    if not known:
        raise ValueError(checks.message(where, "at least one step", "none", "Add a transform or an augmentation."))
    for place, step in enumerate(known):
        last = not alike and place == len(known) - 1
        if not isinstance(step, Transform | Augment) and not (last and getattr(step, "gives_mapping", False)):
            rule = f"step {place} to be a Transform or an Augment"
            raise TypeError(checks.message(where, rule, type(step).__name__, "Wrap it in one or call it outside."))
        if alike and step.item_rank != known[0].item_rank:
            kinds = {1: "waveforms", 2: "spectrograms"}
            rule = f"all steps to take {kinds[known[0].item_rank]}, as {name(known, 0)} does"
            got = f"{name(known, place)} for {kinds[step.item_rank]}"
            raise ValueError(checks.message(where, rule, got, "Choose among waveform steps or spectrogram steps."))
        if alike and any(getattr(part, "mixes_items", False) for part in step.modules()):
            remedy = "Put what mixes items into a Compose beside it, with a p of its own."
            rule = "steps that leave the items of a batch apart, as each takes its own"
            raise ValueError(checks.message(where, rule, name(known, place), remedy))
    return nn.ModuleList(known)


def name(steps: Any, place: int) -> str:
    """Returns how errors call a step."""
    return f"step {place} ({type(steps[place]).__name__})"


def takes(steps: nn.ModuleList) -> tuple[int, float | None]:
    """Returns what a chain takes: axes of one item for the first step, and Hz of waveforms if a step knows them."""
    known: list[Any] = list(steps)
    rates = [getattr(step, "sample_rate", None) for step in known]
    return known[0].item_rank, next((rate for rate in rates if rate is not None), None)


def draw_all(steps: nn.ModuleList, ids: Tensor, key: int) -> Params:
    """Returns the tables of all random steps, each under its place."""
    return {
        str(place): step.draw(ids, rng.fold(key, place, step.seed))
        for place, step in enumerate(steps)
        if isinstance(step, Augment) and step.is_random()
    }


def run_all(chain: Any, x: Any, params: Params, first: int = 0) -> Any:
    """Runs all steps of a chain from one on, on a Tensor or a PaddedBatch, pointwise ones with what they follow."""
    place, steps = first, list(chain.steps)
    while place < len(steps):
        after = _finishing(steps, place, x)
        x = run(chain, place, x, params.get(str(place)), after)
        place += 1 + len(after)
    return x


def _finishing(steps: list[nn.Module], place: int, x: Any) -> list[Pointwise]:
    """Returns the pointwise steps right after one that it can do at once; none where a hook wants to see between."""
    first, data = steps[place], x.data if isinstance(x, PaddedBatch) else x
    if not isinstance(first, Transform) or hooked(first):
        return []
    return pointwise_after(first, steps[place + 1 :], data)


def pointwise_after(first: Transform, steps: Sequence[nn.Module], data: Tensor) -> list[Pointwise]:
    """Returns the pointwise steps at the head of ``steps`` that one before them can do at once on such data."""
    after: list[Pointwise] = []
    if not first.finishes(data):
        return after
    for step in steps:
        if not isinstance(step, Transform) or hooked(step):
            break
        function = step.pointwise(getattr(first, "n_features", 0))
        if function is None:
            break
        after.append(function)
    return after


def hooked(step: nn.Module) -> bool:
    """Returns whether somebody watches what goes in or comes out."""
    everywhere: bool = torch.nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
    return everywhere or bool(step._forward_hooks or step._forward_pre_hooks)


def run(chain: nn.Module, place: int, x: Any, params: Params | None, after: Sequence[Pointwise] = ()) -> Any:
    """Runs one step, random as its table says, with pointwise ones after it, and names the step if it raises."""
    step: Any = chain.steps[place]  # type: ignore[index]
    if torch.compiler.is_compiling():
        return _call(step, x, params)
    try:
        return step.forward(x, after) if after else _call(step, x, params)
    except (TypeError, ValueError, RuntimeError) as error:
        if len(error.args) != 1 or not isinstance(error.args[0], str):
            raise
        said = type(step).__name__
        which = f"step {place}" if error.args[0].startswith(said) else f"step {place} ({said})"
        error.args = (f"{type(chain).__name__} {which}: {error.args[0]}",)
        raise


def _call(step: Any, x: Any, params: Params | None) -> Any:
    if isinstance(step, Augment) and params is not None:
        return step.apply(x, params)
    return step(x)


def output_lengths(step: Any, lengths: Any, table: Params | None) -> Any:
    """Returns the steps out of one step, random as its table says."""
    return step.output_lengths(lengths) if table is None else step.output_lengths(lengths, table)


def fits_masks(steps: nn.ModuleList, taken: Tensor) -> bool:
    """Returns whether items go different ways best by masks: while tracing, or if only a device knows the ways.

    Every step then runs on all items and leaves some alone, so steps must be augmentations through and through.
    """
    if taken.device.type == "cpu" and not torch.compiler.is_compiling():
        return False
    return not any(isinstance(part, Transform) for part in steps.modules())


def choose_masked(chain: nn.Module, batch: PaddedBatch, params: Params, taken: Tensor) -> PaddedBatch:
    """Returns the batch after each step on all items, active only for those that ``taken``, ``[B, steps]``, names."""
    for place in range(taken.shape[1]):
        if str(place) in params:
            batch = run(chain, place, batch, restricted(params[str(place)], taken[:, place]))
    return batch


def restricted(table: Params, taken: Tensor) -> Params:
    """Returns the table of a step that leaves all items alone but those ``taken``, bool ``[B]``."""
    result: Params = {}
    for key, values in table.items():
        if isinstance(values, dict):
            result[key] = restricted(values, taken)
        elif key in ("active", "taken"):
            on = column(values, torch.bool)
            result[key] = on & taken.reshape(-1, *[1] * (on.dim() - 1))
        else:
            result[key] = values
    return result


def ways(taken: Tensor) -> dict[int, list[int]]:
    """Returns the positions of the items that take each step, from bool ``[B, steps]``."""
    return {place: [row for row, on in enumerate(chosen) if on] for place, chosen in enumerate(taken.T.tolist())}


def chosen_lengths(chain: Any, lengths: Any, params: Params | None, *, unchanged: bool) -> Any:
    """Returns steps out for steps in where each item takes some of the steps.

    Args:
        chain: has the ``steps``; in eval mode none is taken.
        lengths: an int or int64 ``[B]``.
        params: a table of `draw`; None if all choices give the same.
        unchanged: whether an item may take no step.
    """
    if params is not None:
        taken = column(params["taken"], torch.bool)
        for place, step in enumerate(chain.steps):
            out = output_lengths(step, lengths, params.get(str(place)))
            lengths = torch.where(taken[:, place], out, lengths)
        return lengths
    if not chain.training:
        return lengths
    options = [*([lengths] if unchanged else []), *(step.output_lengths(lengths) for step in chain.steps)]
    if any(bool(column(option != options[0], torch.bool).any()) for option in options):
        rule = "choices that give equal lengths, or the table of a draw"
        got = "choices that differ and no table"
        raise ValueError(checks.message(type(chain).__name__, rule, got, "Pass params=chain.draw(ids)."))
    return options[0]


def route(chain: nn.Module, batch: PaddedBatch, params: Params, ways: dict[int, list[int]]) -> PaddedBatch:
    """Returns the batch after each step of ``ways`` on its own items; items on no way pass unchanged.

    Args:
        chain: has the ``steps``.
        batch: all items.
        params: tables of the random steps by place.
        ways: places to positions in the batch, each position once at most.
    """
    parts = []
    for place, rows in ways.items():
        if rows:
            table = params.get(str(place))
            out = run(chain, place, _select(batch, rows), None if table is None else _pick(table, rows))
            parts.append((name(chain.steps, place), rows, out))
    busy = {row for rows in ways.values() for row in rows}
    rest = [row for row in range(batch.data.shape[0]) if row not in busy]
    if rest or not parts:
        left = _select(batch, rest)
        own = left.data.clone() if left is batch else left.data
        parts.append(("items without a step", rest, left._replace(data=zero_past(own, left.lengths))))
    return _merge(type(chain).__name__, parts)._replace(ids=batch.ids)


def _select(batch: PaddedBatch, rows: list[int]) -> PaddedBatch:
    if len(rows) == batch.data.shape[0]:
        return batch
    ids = None if batch.ids is None else _take(batch.ids, rows)
    return PaddedBatch(_take(batch.data, rows), _take(batch.lengths, rows), batch.rate, ids)


def _take(values: Tensor, rows: list[int]) -> Tensor:
    return values.index_select(0, torch.tensor(rows, device="cpu").to(values.device, non_blocking=True))


def _pick(table: Params, rows: list[int]) -> Params:
    """Returns the rows of a table, of tensors or of the lists that JSON gives back."""
    return {
        key: _pick(values, rows)
        if isinstance(values, dict)
        else _take(values, rows)
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
        if other.data.shape[1:-1] != first.data.shape[1:-1] or str(other.rate) != str(first.rate):
            rule = f"items of equal axes and rate, {list(first.data.shape[1:-1])} at {first.rate:g} from {first_name}"
            got = f"{list(other.data.shape[1:-1])} at {other.rate:g} from {other_name}"
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
