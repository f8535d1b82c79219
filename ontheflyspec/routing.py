"""How chains run their steps: keys and tables by place, errors that name the step, items that go different ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.base import Augment, Params
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.blocks import applicable, row_by_row
from ontheflyspec.transforms.base import Pointwise, Transform

Targets = Sequence[Any]
"""What stands beside a batch."""


def checked_steps(where: str, steps: Iterable[nn.Module], *, alike: bool) -> nn.ModuleList:
    """Returns the checked steps; ``alike``: all must take what the first takes, and give batches, not mappings."""
    known: list[Any] = list(steps)
    if not known:
        raise ValueError(checks.message(where, "at least one step", "none", "Add a transform or an augmentation."))
    for place, step in enumerate(known):
        last = not alike and place == len(known) - 1
        maps = getattr(step, "gives_mapping", False)
        if not isinstance(step, Transform | Augment) and not maps:
            rule = f"step {place} to be a Transform or an Augment"
            raise TypeError(checks.message(where, rule, type(step).__name__, "Wrap it in one or call it outside."))
        if maps and not last:
            rule = "a Parallel, which gives a mapping, only as the last step of a chain"
            raise ValueError(checks.message(where, rule, name(known, place), "Put it last in the outermost Compose."))
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
    if known[0].item_rank != 1:
        return known[0].item_rank, None
    rates = [getattr(step, "sample_rate", None) for step in known]
    return 1, next((rate for rate in rates if rate is not None), None)


def draw_all(steps: nn.ModuleList, ids: Tensor, key: int) -> Params:
    """Returns the tables of all random steps, each under its place."""
    known: dict[int, Any] = {place: step for place, step in enumerate(steps) if draws(step)}
    keys = rng.ahead(ids, [rng.fold(key, place, step.seed) for place, step in known.items()])
    return {str(place): step.sample(ids, one) for (place, step), one in zip(known.items(), keys, strict=True)}


def draws(step: Any) -> bool:
    """Returns whether a call of a step now would draw."""
    return not isinstance(step, Transform) and bool(step.is_random())


def run_all(chain: Any, x: Any, params: Params, targets: Targets = (), first: int = 0) -> tuple[Any, Targets]:
    """Runs all steps of a chain from one on, on a Tensor or a PaddedBatch, pointwise ones with what they follow."""
    place, steps = first, list(chain.steps)
    while place < len(steps):
        if (count := _by_rows(steps, place, x, params)) > 1:
            with row_by_row():
                for one in range(place, place + count):
                    x, targets = run(chain, one, x, params[str(one)], targets)
            place += count
            continue
        after = _finishing(steps, place, x)
        x, targets = run(chain, place, x, params.get(str(place)), targets, after)
        place += 1 + len(after)
    return x, targets


def _by_rows(steps: list[Any], place: int, x: Any, params: Params) -> int:
    """Returns how many steps from a place on may be done together, items one after the other."""
    if not isinstance(x, PaddedBatch):
        return 0
    for number in range(place, len(steps)):
        step, table = steps[number], params.get(str(number))
        if table is None or "by_rows" not in vars(type(step)) or not step.by_rows or hooked(step):
            return number - place
        if not applicable(x.data, x.lengths, *(values for values in table.values() if isinstance(values, Tensor))):
            return number - place
    return len(steps) - place


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
    own = (step._forward_hooks, step._forward_pre_hooks, step._backward_hooks, step._backward_pre_hooks)
    return everywhere or any(own)


def run(
    chain: nn.Module,
    place: int,
    x: Any,
    params: Params | None,
    targets: Targets = (),
    after: Sequence[Pointwise] = (),
) -> tuple[Any, Targets]:
    """Runs one step, random as its table says, with pointwise ones after it, and names the step if it raises."""
    step: Any = chain.steps[place]  # type: ignore[index]
    if torch.compiler.is_compiling():
        return call(step, x, params, targets)
    try:
        return (step.forward(x, after), targets) if after else call(step, x, params, targets)
    except (TypeError, ValueError, RuntimeError) as error:
        if len(error.args) != 1 or not isinstance(error.args[0], str):
            raise
        said = type(step).__name__
        which = f"step {place}" if error.args[0].startswith(said) else f"step {place} ({said})"
        error.args = (f"{type(chain).__name__} {which}: {error.args[0]}",)
        raise


def call(step: Any, x: Any, params: Params | None, targets: Targets = ()) -> tuple[Any, Targets]:
    """Returns what a step gives, random as its table says, and targets that followed."""
    if params is None:
        return step(x), targets
    if targets:
        result: tuple[Any, Targets] = step.carry(x, targets, params)
        return result
    return step.apply(x, params), targets


def output_lengths(step: Any, lengths: Any, table: Params | None) -> Any:
    """Returns the steps out of one step, random as its table says."""
    return step.output_lengths(lengths) if table is None else step.output_lengths(lengths, table)
