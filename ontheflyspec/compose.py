"""Chains and choices of steps: Compose, OneOf, SomeOf."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.base import Augment, Params, full_batch
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.transforms.base import Transform


class Compose(Augment):
    """Steps in a row, with one seed for all their draws.

    Each step draws from the chain's seed, its own seed and its place, so two equal steps differ. Without ids, one
    fresh id per item and call serves all steps. A Tensor is taken as full items of the first step's kind.

    Args:
        steps: transforms and augmentations, also further chains.
        seed: of the whole chain.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> front_end = ofs.Compose([ofs.MelSpectrogram(sample_rate=16_000, n_mels=80), ofs.AmplitudeToDB()])
        >>> front_end(torch.randn(2, 16_000)).shape
        torch.Size([2, 80, 32])
    """

    def __init__(self, steps: Sequence[nn.Module], *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.steps = _steps("Compose", steps)

    def draw(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns a table of tables: the place of each random step, as a string, to its own table."""
        return _draw_all(self.steps, ids, rng.fold(0, self.seed) if key is None else key)

    def checked(self, batch: PaddedBatch) -> PaddedBatch:
        """Returns the batch as it is: each step checks what it takes."""
        return batch

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch after every step, random ones as their tables say."""
        for place in range(len(self.steps)):
            batch = _run(self, place, batch, params.get(str(place)))
        return batch

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in, through all steps."""
        for place, step in enumerate(self.steps):
            table = None if params is None else params.get(str(place))
            lengths = _output_lengths(step, lengths, table)
        return lengths

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training and any(isinstance(step, Augment) and step.is_random() for step in self.steps)

    @property
    def sample_rate(self) -> float | None:
        """Hz of the waveforms that the chain takes, None if no step knows."""
        known: list[Any] = [getattr(step, "sample_rate", None) for step in self.steps]
        return next((rate for rate in known if rate is not None), None)

    @property
    def item_rank(self) -> int:  # type: ignore[override]
        """Axes of one item for the first step: 1 for waveforms, 2 for spectrograms."""
        first: Any = self.steps[0]
        return int(first.item_rank)

    @property
    def frequencies(self) -> Tensor:
        """Hz of the output's bands, float64 ``[F]``, as the last step that knows says."""
        result: Tensor = _last_knowing(self.steps, "frequencies").frequencies
        return result

    @property
    def n_features(self) -> int:
        """Bands of the output, as the last step that knows says."""
        return int(_last_knowing(self.steps, "n_features").n_features)

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64, as the last step that knows says."""
        result: Tensor = _last_knowing(self.steps, "frame_times").frame_times(n_frames)
        return result

    def _on_batch(self, batch: PaddedBatch) -> PaddedBatch:
        if not self.is_random():
            return self.change(batch, {})
        fresh = rng.fresh_ids(batch.data.shape[0]) if batch.ids is None else batch.ids
        return self.change(batch._replace(ids=fresh), self.draw(fresh))._replace(ids=batch.ids)

    def _on_tensor(self, data: Tensor) -> Tensor:
        if not self.is_random():
            for place in range(len(self.steps)):
                data = _run(self, place, data, None)
            return data
        checks.rank("Compose", data, self.item_rank, batched=False)
        single = data.dim() == self.item_rank
        rate = math.nan if self.sample_rate is None else self.sample_rate
        out = self._on_batch(full_batch(data.unsqueeze(0) if single else data, rate)).data
        return out[0] if single else out


def _steps(where: str, steps: Iterable[nn.Module]) -> nn.ModuleList:
    """Returns the checked steps of a chain."""
    known = list(steps)
    if not known:
        raise ValueError(checks.message(where, "at least one step", "none", "Add a transform or an augmentation."))
    for place, step in enumerate(known):
        if not isinstance(step, Transform | Augment):
            rule = f"step {place} to be a Transform or an Augment"
            raise TypeError(checks.message(where, rule, type(step).__name__, "Wrap it in one or call it outside."))
    return nn.ModuleList(known)


def _last_knowing(steps: nn.ModuleList, name: str) -> Any:
    for step in reversed(steps):
        if hasattr(step, name):
            return step
    raise AttributeError(f"Compose: no step has {name}")


def _output_lengths(step: Any, lengths: Any, table: Params | None) -> Any:
    return step.output_lengths(lengths) if table is None else step.output_lengths(lengths, table)


def _draw_all(steps: nn.ModuleList, ids: Tensor, key: int) -> Params:
    """Returns the tables of all random steps, each under its place."""
    return {
        str(place): step.draw(ids, rng.fold(key, place, step.seed))
        for place, step in enumerate(steps)
        if isinstance(step, Augment) and step.is_random()
    }


def _run(chain: nn.Module, place: int, x: Any, params: Params | None) -> Any:
    """Runs one step, random as its table says, and names the step if it raises."""
    step = chain.steps[place]  # type: ignore[index]
    if torch.compiler.is_compiling():
        return _call(step, x, params)
    try:
        return _call(step, x, params)
    except (TypeError, ValueError, RuntimeError) as error:
        if len(error.args) != 1 or not isinstance(error.args[0], str):
            raise
        error.args = (f"{type(chain).__name__} step {place}: {error.args[0]}",)
        raise


def _call(step: Any, x: Any, params: Params | None) -> Any:
    if isinstance(step, Augment) and params is not None:
        return step.apply(x, params)
    return step(x)
