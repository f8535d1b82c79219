"""The run of a chain's steps: neighbours together, errors that name the step, and one table of a batch on a device."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ontheflyspec import pipeline
from ontheflyspec.augment.base import Augment, checked, planned
from ontheflyspec.augment.ranges import Params
from ontheflyspec.batch import PaddedBatch, check_lengths, check_rank, trust
from ontheflyspec.op import Edit, execute, needed
from ontheflyspec.pipeline import Pipeline
from ontheflyspec.plans import Info, followed
from ontheflyspec.torch_internals import HOOKS, any_global_hook
from ontheflyspec.transfer import Placed
from ontheflyspec.transforms.base import FrameTransform, Transform, check
from ontheflyspec.transforms.edit import EditTransform, planned_edit

Targets = Sequence[Any]
"""Targets of a batch, in the order in which they stand beside it."""


class Ahead(NamedTuple):
    """What is known of steps before they run, and what they need of the host where the samples lie, sent at once.

    Args:
        edits: by place.
        infos: of the batch before the step at a place.
        inner: what is known of the steps of chains, by place: an `Ahead` for a `Compose`, another kind for choices.
        placed: all `values`, None as long as they are not sent.
    """

    edits: dict[int, Edit]
    infos: dict[int, Info]
    inner: dict[int, Any]
    placed: Placed | None = None

    def values(self) -> list[Any]:
        """Returns all that edits, batches and the steps of chains need of the host where the samples lie."""
        inner = [one.values() for one in self.inner.values()]
        return [[info.lengths for info in self.infos.values()], *map(needed, self.edits.values()), inner]

    def sent(self, device: torch.device) -> Ahead:
        """Returns the same, with the values where the samples lie; no step looks at these lengths again."""
        return self._replace(placed=Placed(device, self.values())).trusted()

    def trusted(self) -> Ahead:
        """Returns the same; no step looks at the lengths again."""
        for info in self.infos.values():
            trust(info.lengths)
        for one in self.inner.values():
            one.trusted()
        return self

    def within(self, place: int) -> Any:
        """Returns the `Ahead`, or `Partitions`, of the chain at a place; None if there is none."""
        inner = self.inner.get(place)
        return None if inner is None else inner._replace(placed=self.placed)

    def holds(self, place: int, batch: PaddedBatch) -> bool:
        """Returns whether a batch before the step at a place is what was expected."""
        info = self.infos.get(place)
        return info is not None and info.lengths is batch.lengths and info.shape == batch.data.shape


def run_all(
    chain: Any,
    x: Any,
    params: Params,
    targets: Targets = (),
    first: int = 0,
    last: int | None = None,
    ahead: Ahead | None = None,
) -> tuple[Any, Targets]:
    """Runs the steps of a chain on a Tensor or a batch, neighbours together where possible.

    Args:
        chain: has the ``steps``.
        x: a Tensor or a PaddedBatch.
        params: tables of the random steps by place.
        targets: of the items.
        first: place of the first step.
        last: place after the last step, None for all.
        ahead: what is known of the steps already.
    """
    steps, place = steps_of(chain)[:last], first
    edited = edited_places(steps, params)
    on_device = isinstance(x, PaddedBatch) and x.data.device.type != "cpu"
    if on_device and ahead is None and steps:
        x = _trusted(steps[0], x)
    while place < len(steps):
        step, count = steps[place], 1
        if on_device and isinstance(x, PaddedBatch) and not (ahead and ahead.holds(place, x)):
            ahead = look_ahead(steps, place, Info.of(x, ""), params).sent(x.data.device)
        if place in edited and isinstance(x, PaddedBatch):
            while place + count in edited:
                count += 1
            x, targets = _augmented(chain, range(place, place + count), x, params, targets, ahead)
        elif str(place) in params or _is_chain(step, x):
            with named(chain, place):
                x, targets = step.run(x, params.get(str(place), {}), targets, ahead and ahead.within(place))
        elif (
            isinstance(x, PaddedBatch)
            and targets
            and (isinstance(step, EditTransform) or not isinstance(step, Transform))
        ):
            with named(chain, place):  # which hooks must see run
                x, *targets = step([x, *targets])
        else:
            with named(chain, place):
                x, count = _transformed(steps, place, x, ahead)
        place += count
    return x, targets


def _trusted(step: Any, batch: PaddedBatch) -> PaddedBatch:
    """Returns a batch whose lengths, checked here for the first step, no later step looks at."""
    check_lengths(type(step).__name__, batch.lengths, batch.data.shape[0], batch.data.shape[-1])
    return batch._replace(lengths=batch.lengths.view_as(batch.lengths))


def edited_places(steps: list[Any], params: Params) -> set[int]:
    """Returns the places of augmentations that have a table, and of transforms that are edits."""
    return {n for n, step in enumerate(steps) if _is_edit(step) or (str(n) in params and isinstance(step, Augment))}


def _is_chain(step: Any, x: Any) -> bool:
    """Returns whether a step is a chain that runs on a batch, and no hook must see it run."""
    return isinstance(x, PaddedBatch) and not isinstance(step, (Transform, Augment)) and not has_hooks(step)


def _is_edit(step: Any) -> bool:
    """Returns whether a transform is an edit, and no hook must see it run."""
    return isinstance(step, EditTransform) and not has_hooks(step)


def _planned(steps: Sequence[Any], place: int, info: Info, params: Params) -> Edit:
    """Returns the edit of the step at a place."""
    step = steps[place]
    return planned_edit(step, info) if isinstance(step, EditTransform) else planned(step, info, params[str(place)])


def look_ahead(steps: list[Any], first: int, info: Info, params: Params) -> Ahead:
    """Returns the `Ahead` of steps from a place on, up to one whose result only its samples tell."""
    edits, infos, edited, inner = dict[int, Edit](), {first: info}, edited_places(steps, params), dict[int, Any]()
    for place, step in enumerate(steps[first:], first):
        info = infos[place]._replace(where=type(step).__name__)
        try:
            if place in edited:
                edit = edits[place] = _planned(steps, place, info, params)
                if edit.lengths is None:
                    break
                infos[place + 1] = info.after(edit)
            elif isinstance(step, Transform):
                infos[place + 1] = _transformed_info(step, info)
            elif isinstance(step, Augment) or has_hooks(step):
                break
            else:
                known, after = step.look_ahead(info, params.get(str(place), {}))
                if known is not None:
                    inner[place] = known
                if after is None:
                    break
                infos[place + 1] = after
        except (TypeError, ValueError):  # it is raised again, and tells the step, where that runs
            break
    return Ahead(edits, infos, inner)


def _transformed_info(step: Transform, info: Info) -> Info:
    """Returns the metadata of a batch after a transform; those of a wrong shape are found wrong where they are used."""
    shape, size = list(info.shape), step.output_lengths(info.size)
    if isinstance(step, FrameTransform):
        axes = [*shape[:-1], step.n_features]
    elif step.item_rank == 1:
        axes = shape[:-1]
    else:
        axes = shape[:-2] if step.makes_waves else [*shape[:-2], step.output_features(shape[-2])]
    lengths, rate = step.output_lengths(info.lengths), step.output_rate(info.rate)
    return info._replace(lengths=lengths, rate=rate, shape=torch.Size([*axes, size]))


def _transformed(steps: list[Any], place: int, x: Any, ahead: Ahead | None) -> tuple[Any, int]:
    """Returns a Tensor or a batch after a transform, or after several as one pipeline, and how many they were."""
    step, run = steps[place], fused(steps, place, x)
    if ahead is None or ahead.placed is None or not isinstance(x, PaddedBatch):
        if run is None:
            return step(x), 1
        single = isinstance(x, Tensor) and x.dim() == step.item_rank
        given = x.unsqueeze(0) if single else x
        data = pipeline.run([run.pipeline], *samples(given))[0]
        return data[0] if single else run.result(data, x), run.n_steps
    lengths = ahead.placed(x.lengths)
    if run is None:
        hooked = has_hooks(step) or not isinstance(step, Transform)
        x, count = step(x) if hooked else step.applied(x, lengths), 1
    else:
        frames = ahead.infos.get(place + 1)
        data = pipeline.run([run.pipeline], x.data, lengths, frames and ahead.placed(frames.lengths))[0]
        x, count = run.result(data, x), run.n_steps
    after = ahead.infos.get(place + count)
    return x if after is None or not isinstance(x, PaddedBatch) else x._replace(lengths=after.lengths), count


def _augmented(
    chain: Any, places: range, batch: PaddedBatch, params: Params, targets: Targets, ahead: Ahead | None
) -> tuple[PaddedBatch, Targets]:
    """Returns a batch and its targets after edits: all are planned, then done together."""
    edits: dict[int, Edit] = {}
    known, placed = (ahead.edits, ahead.placed) if ahead else (edits, None)
    within, info = partial(named, chain), None
    for place in places:
        step = chain.steps[place]
        with named(chain, place):
            batch = batch if edits else checked(step, batch)
            if not batch.data.shape[0]:  # which FFT libraries refuse
                return batch, list(targets)
            check_rank(type(step).__name__, batch.data, step.item_rank, batched=True)
            before = (info or Info.of(batch, ""))._replace(where=type(step).__name__)
            edit = edits[place] = known.get(place) or _planned(chain.steps, place, before, params)
        info, moved = before.after(edit), None
        if edit.lengths is None:
            batch, moved = execute(edits, batch, within, placed)
            info, edits, placed = Info.of(batch, ""), {}, None
        with named(chain, place):
            targets = followed(targets, edit, before, info, moved)
    return execute(edits, batch, within, placed)[0], targets


class Fused(NamedTuple):
    """Transforms in a row as one pipeline.

    Args:
        pipeline: of them all.
        n_steps: how many transforms they are.
        lengths: of the result, None for a Tensor.
        rate: of the result, None if it is not known.
    """

    pipeline: Pipeline
    n_steps: int
    lengths: Tensor | None
    rate: float | None

    def result(self, data: Tensor, x: Any) -> Any:
        """Returns data that came of a Tensor or a batch in its form."""
        return data if self.lengths is None else PaddedBatch(data, self.lengths, self.rate, x.ids)


def samples(x: Any) -> tuple[Tensor, Tensor | None]:
    """Returns the data and the lengths of a batch, or a Tensor of full items and None."""
    return (x, None) if isinstance(x, Tensor) else (x.data, x.lengths)


def fused(steps: Sequence[Any], place: int, x: Any) -> Fused | None:
    """Returns the pipeline of a transform with frames and those after it, from a place on.

    None where that transform has no pipeline, or hooks that must see it run.
    """
    first, (data, lengths) = steps[place], samples(x)
    if not isinstance(first, FrameTransform) or has_hooks(first) or not data.shape[0]:
        return None
    check(first, x)
    own, rate = first.pipeline(data, 0), None
    if own is None:
        return None
    if lengths is not None:
        lengths, rate = first.output_lengths(lengths), first.output_rate(x.rate)
    made = Fused(own, 1, lengths, rate)
    if own.source == "complex":
        return made
    features = first.output_features(0)
    for later in steps[place + 1 :]:
        if not isinstance(later, Transform) or isinstance(later, FrameTransform) or has_hooks(later):
            break
        try:
            more = later.pipeline(data, features)
            if more is None:
                break
            if lengths is not None:
                lengths, rate = later.output_lengths(lengths), later.output_rate(rate)
        except (TypeError, ValueError):  # it is raised again, and tells the step, where that runs by itself
            break
        made = Fused(made.pipeline.then(more.nodes), made.n_steps + 1, lengths, rate)
        features = later.output_features(features)
    return made


def has_hooks(step: nn.Module) -> bool:
    """Returns whether hooks see the input or the output of a step, which then is called by itself."""
    for name in HOOKS:
        if step.__dict__.get(name):
            return True
    return bool(any_global_hook())


def steps_of(chain: nn.Module) -> list[Any]:
    """Returns the steps of a chain, which are looked up at every call: attributes of an ``nn.Module`` take long."""
    steps: Any = chain._modules["steps"]
    return list(steps)


def named(chain: Any, place: int) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which errors name a step."""
    return contextlib.nullcontext() if torch.compiler.is_compiling() else _Named(chain, place)


class _Named(contextlib.AbstractContextManager[None]):
    def __init__(self, chain: Any, place: int) -> None:
        self.chain, self.place = chain, place

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (TypeError, ValueError, RuntimeError)):
            prefix_error(error, self.chain, self.place)


def prefix_error(error: Exception, chain: Any, place: int) -> None:
    """Puts the chain and the place and class of the step before an error; a transform of a `Parallel` has no place."""
    if isinstance(chain, Transform) or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    said, where = type(chain.steps[place]).__name__, type(chain).__name__
    which = f"step {place}" if error.args[0].startswith(said) else f"step {place} ({said})"
    error.args = (f"{where} {which}: {error.args[0]}",)
