"""CUDA graphs of whole chains: one for each rounded shape, replayed with new samples and a new table of small tensors.

The host plans every batch as ever, packs lengths and draws, and overwrites the graph's table with them. What cannot be
captured runs as ever: chains with steps whose plan needs samples or whose kernels depend on numbers of the host, new
shapes, hooks, gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontheflyspec.augment.base import ids_of
from ontheflyspec.batch import PaddedBatch, tensors_in
from ontheflyspec.chain.run import Ahead, Targets, has_hooks, look_ahead, run_all, steps_of
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info, followed
from ontheflyspec.transfer import Placed, small_tensors

AN_OCTAVE = 8
"""Sizes of the last axis in an octave."""
MOST = 64
"""Graphs that are kept."""


class Captured(NamedTuple):
    """A graph with the memory that it reads and writes.

    Args:
        data: samples, in the rounded shape.
        placed: the table.
        out: the result.
        replay: runs the graph.
    """

    data: Tensor
    placed: Placed
    out: Tensor
    replay: Callable[[], None]


class Graphs:
    """A chain that replays CUDA graphs where it can.

    Args:
        chain: a `Compose`.
    """

    def __init__(self, chain: Any) -> None:
        self.chain = chain
        self.known: dict[Any, Captured | None] = {}
        """By shape and plan; None where a graph could not be captured."""
        self.met: set[Any] = set()
        """Shapes and plans that came once."""

    def __call__(self, x: Any) -> Any:
        """Runs the chain on a batch, or on a tuple or list that begins with one."""
        batch, targets = (x, []) if isinstance(x, PaddedBatch) else (x[0], x[1:])
        with torch.no_grad():
            made = self._replayed(batch, targets)
        if made is None:
            return self.chain(x)
        out, after = made
        return out if isinstance(x, PaddedBatch) else type(x)([out, *after])

    def _replayed(self, batch: PaddedBatch, targets: Targets) -> tuple[PaddedBatch, Targets] | None:
        """Returns the result of the graph of a shape for a batch; None where there is no graph."""
        steps = steps_of(self.chain)
        if batch.data.requires_grad or batch.lengths.device.type != "cpu" or any(map(_bound, steps)):
            return None
        batch = batch if batch.ids is not None else batch._replace(ids=ids_of(batch))
        params = self.chain.draw(batch.ids) if self.chain.is_random() else {}
        shape = torch.Size([*batch.data.shape[:-1], rounded(batch.data.shape[-1])])
        ahead = look_ahead(steps, 0, Info.of(batch, "")._replace(shape=shape), params)
        edits, infos, values = ahead.edits, ahead.infos, ahead.values()
        key = _key(batch, shape, edits, values)
        if len(infos) <= len(steps) or ahead.inner or any(edit.once or edit.op.on_host for edit in edits.values()):
            return None
        if key not in self.known:
            if key not in self.met or len(self.known) >= MOST:
                self.met = self.met if len(self.met) < 16 * MOST else set()
                self.met.add(key)
                return None
            self.known[key] = self._captured(batch, params, ahead)
        graph = self.known[key]
        if graph is None:
            return None
        graph.data[..., : batch.data.shape[-1]].copy_(batch.data)
        graph.placed.overwrite(small_tensors(values))
        graph.replay()
        size, last = batch.data.shape[-1], infos[len(steps)]
        for place, step in enumerate(steps):
            if place in edits:
                size = edits[place].size if edits[place].lengths is not infos[place].lengths else size
            else:
                size = step.output_lengths(size)
        out = PaddedBatch(graph.out[..., :size].clone(), last.lengths, last.rate, batch.ids)
        return out, _moved(steps, batch, params, targets)

    def _captured(self, batch: PaddedBatch, params: Any, ahead: Ahead) -> Captured | None:
        """Returns a graph of the chain for a rounded shape and a plan, None if it cannot be captured."""
        data, values = batch.data.new_zeros(ahead.infos[0].shape), ahead.values()
        data[..., : batch.data.shape[-1]].copy_(batch.data)
        rows = batch._replace(data=data)

        def run(placed: Placed) -> Tensor:
            result: Tensor = run_all(self.chain, rows, params, ahead=ahead._replace(placed=placed))[0].data
            return result

        try:
            run(Placed(data.device, values))  # compiles, plans and keeps what it needs
            placed = Placed(data.device, values)  # whose masks are made in the graph
            replay, out = capture(lambda: run(placed))
        except RuntimeError:
            return None
        return Captured(data, placed, out, replay)


def capture(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Returns a callable that replays a function on the device, and its result, which each replay overwrites."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = run()
    return graph.replay, out


def rounded(size: int) -> int:
    """Returns a size rounded up to one of `AN_OCTAVE` in an octave."""
    step = max(1 << max(size.bit_length() - 1, 0), AN_OCTAVE) // AN_OCTAVE
    return -(-size // step) * step


def _bound(step: Any) -> bool:
    """Returns whether a step has hooks, which must see it run, or trains."""
    return has_hooks(step) or any(parameter.requires_grad for parameter in step.parameters())


def _key(batch: PaddedBatch, shape: torch.Size, edits: dict[int, Edit], values: list[Any]) -> Any:
    """Returns all that a graph depends on but the values of its samples and its table."""
    tensors = tensors_in(*values)
    first = {id(x): place for place, x in reversed(list(enumerate(tensors)))}
    kinds = tuple((first[id(x)], x.dtype, x.shape) for x in tensors)
    plans = tuple((place, edit.op.name, edit.size, repr(_numbers(edit.options))) for place, edit in edits.items())
    return shape, batch.data.dtype, batch.rate, kinds, plans


def _numbers(value: Any) -> Any:
    """Returns any nesting without its tensors."""
    if isinstance(value, Tensor):
        return None
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    return [_numbers(part) for part in value] if isinstance(value, (tuple, list)) else value


def _moved(steps: list[Any], batch: PaddedBatch, params: Any, targets: Targets) -> Targets:
    """Returns targets after the edits of a chain, which are planned for the batch's own size."""
    ahead = look_ahead(steps, 0, Info.of(batch, ""), params)
    for place, edit in ahead.edits.items() if targets else ():
        before = ahead.infos[place]._replace(where=type(steps[place]).__name__)
        targets = followed(targets, edit, before, ahead.infos[place + 1])
    return list(targets)
