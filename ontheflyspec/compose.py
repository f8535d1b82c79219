"""Chains and choices of steps: Compose, OneOf, SomeOf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.base import Augment, Params, column
from ontheflyspec.batch import PaddedBatch, as_float
from ontheflyspec.routing import (
    checked_steps,
    choose_masked,
    chosen_lengths,
    draw_all,
    draws,
    fits_masks,
    output_lengths,
    route,
    run_all,
    takes,
    ways,
)


class Compose(Augment):
    """Steps in a row, with one seed for all their draws.

    Each step draws from the chain's seed, its own seed and its place, so two equal steps differ. Without ids, one
    fresh id per item and call serves all steps. A Tensor is taken as full items of the first step's kind.

    Args:
        steps: transforms and augmentations, also further chains.
        seed: of the whole chain.

    Raises:
        ValueError: no steps; whatever a step raises is raised with the step's place before it.
        TypeError: a step that is neither a Transform nor an Augment.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> front_end = ofs.Compose([ofs.MelSpectrogram(sample_rate=16_000, n_mels=80), ofs.AmplitudeToDB()])
        >>> front_end(torch.randn(2, 16_000)).shape
        torch.Size([2, 80, 32])
    """

    def __init__(self, steps: Sequence[nn.Module], *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.steps = checked_steps("Compose", steps, alike=False)
        self.item_rank, self.sample_rate = takes(self.steps)

    def draw(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns a table of tables: the place of each random step, as a string, to its own table."""
        return draw_all(self.steps, ids, rng.fold(0, self.seed) if key is None else key)

    def checked(self, batch: PaddedBatch) -> PaddedBatch:
        """Returns the batch as it is: each step checks what it takes."""
        return batch

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch after every step, random ones as their tables say."""
        result: PaddedBatch = run_all(self, batch, params)
        return result

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in, through all steps."""
        for place, step in enumerate(self.steps):
            lengths = output_lengths(step, lengths, None if params is None else params.get(str(place)))
        return lengths

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training and any(draws(step) for step in self.steps)

    @property
    def gives_mapping(self) -> bool:
        """Whether a Parallel stands at the end."""
        return bool(getattr(self.steps[-1], "gives_mapping", False))

    @property
    def frequencies(self) -> Tensor:
        """Hz of the output's bands, float64 ``[F]``, as the last step that knows says."""
        result: Tensor = self._last_knowing("frequencies").frequencies
        return result

    @property
    def n_features(self) -> int:
        """Bands of the output, as the last step that knows says."""
        return int(self._last_knowing("n_features").n_features)

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64, as the last step that knows says."""
        result: Tensor = self._last_knowing("frame_times").frame_times(n_frames)
        return result

    def _last_knowing(self, name: str) -> Any:
        for step in reversed(self._flat()):
            if hasattr(step, name):
                return step
            if getattr(step, "makes_waves", False):
                break
        remedy = "Add MelSpectrogram or STFT."
        raise AttributeError(checks.message("Compose", f"a step that has {name}", "none", remedy))

    def _flat(self) -> list[Any]:
        """Returns the steps with those of inner chains in their places."""
        return [one for step in self.steps for one in (step._flat() if isinstance(step, Compose) else [step])]

    def _on_batch(self, batch: PaddedBatch) -> PaddedBatch:
        if not self.is_random():
            return self.change(batch, {})
        fresh = rng.fresh_ids(batch.data.shape[0]) if batch.ids is None else batch.ids
        return self.change(batch, self.draw(fresh))

    def _on_tensor(self, data: Tensor) -> Any:
        return super()._on_tensor(data) if self.is_random() else run_all(self, data, {})


class OneOf(Augment):
    """Gives each item exactly one of several steps, whose own ``p`` then applies.

    Choices may be augmentations, transforms and chains of them. All must give equal axes and rate; where lengths
    differ the batch is padded to the longest. Items that take no step pass unchanged. In ``.eval()`` all pass
    unchanged, also where choices are deterministic: which one to take is itself random.

    Under ``torch.compile`` choices must be augmentations through and through; then every choice runs on all items.

    Args:
        steps: what is chosen from.
        weights: how likely each step is, in any scale; None for all the same.
        p: probability that an item takes a step at all.
        seed: makes two choices differ.

    Raises:
        ValueError: no steps, steps for unlike input, weights that are below 0, all 0 or of another count;
            when called, choices that give unlike axes or rates.
        TypeError: a step that is neither a Transform nor an Augment.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> choice = ofs.OneOf([ofs.augment.Gain(gain_db=20.0), ofs.augment.PolarityInversion()], weights=[0, 1])
        >>> choice(torch.tensor([0.5, -1.0]))
        tensor([-0.5000,  1.0000])
    """

    def __init__(
        self, steps: Sequence[nn.Module], *, weights: Sequence[float] | None = None, p: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.steps = checked_steps("OneOf", steps, alike=True)
        self.item_rank, self.sample_rate = takes(self.steps)
        given = [1.0] * len(self.steps) if weights is None else list(weights)
        self.weights = tuple(checks.number("OneOf", "weights", weight, low=0.0) for weight in given)
        if len(self.weights) != len(self.steps) or sum(self.weights) <= 0:
            rule = f"{len(self.steps)} weights, one a step, not all 0"
            raise ValueError(checks.message("OneOf", rule, self.weights, "Give each step a weight, or weights=None."))

    def draw(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``taken``, bool ``[B, steps]``, and the tables of the random steps under their places."""
        key = rng.fold(0, self.seed) if key is None else key
        unit = self.uniform(ids, key, 2)
        total = sum(self.weights)
        bounds = [sum(self.weights[:count]) / total for count in range(1, len(self.weights))]
        chosen = sum(((unit[:, 1] >= bound).long() for bound in bounds), torch.zeros_like(ids))
        one_hot = chosen.unsqueeze(-1) == torch.arange(len(self.weights), device=ids.device)
        return {"taken": one_hot & (unit[:, :1] < self.p), **draw_all(self.steps, ids, key)}

    def checked(self, batch: PaddedBatch) -> PaddedBatch:
        """Returns the batch as floats: each step checks what it takes."""
        return batch._replace(data=as_float(batch.data))

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each item after the step that it takes."""
        taken = column(params["taken"], torch.bool)
        if fits_masks(self.steps, taken):
            return choose_masked(self, batch, params, taken)
        return route(self, batch, params, ways(taken))

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in; where choices differ in them, for one table of `draw`."""
        return chosen_lengths(self, lengths, params, unchanged=self.p < 1)


class SomeOf(Augment):
    """Gives each item n distinct steps out of several, in the order of the list.

    Choices, padding, ``.eval()`` and ``torch.compile`` are as in `OneOf`; as an item may take any of them or not, each
    must keep axes and rate.

    Args:
        steps: what is chosen from.
        n: how many steps an item takes: a number, or (low, high), both possible, drawn evenly.
        p: probability that an item takes steps at all.
        seed: makes two choices differ.

    Raises:
        ValueError: no steps, steps for unlike input, n outside 0 to the number of steps; when called, steps that
            change axes or rate.
        TypeError: a step that is neither a Transform nor an Augment, n that is no whole number.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> both = ofs.SomeOf([ofs.augment.Gain(gain_db=20.0), ofs.augment.PolarityInversion()], n=2)
        >>> both(torch.tensor([0.05, -0.1]))
        tensor([-0.5000,  1.0000])
    """

    def __init__(self, steps: Sequence[nn.Module], *, n: int | tuple[int, int], p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.steps = checked_steps("SomeOf", steps, alike=True)
        self.item_rank, self.sample_rate = takes(self.steps)
        low, high = n if isinstance(n, Sequence) and len(n) == 2 else (n, n)
        high = checks.integer("SomeOf", "n", high, low=0, high=len(self.steps))
        self.n = checks.integer("SomeOf", "n", low, low=0, high=high), high

    def draw(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``taken``, bool ``[B, steps]``, and the tables of the random steps under their places."""
        key = rng.fold(0, self.seed) if key is None else key
        unit = self.uniform(ids, key, 2 + len(self.steps))
        count = self.n[0] + (unit[:, 1:2] * (self.n[1] - self.n[0] + 1)).long()
        shuffled = unit[:, 2:].argsort(stable=True)
        return {"taken": (shuffled < count) & (unit[:, :1] < self.p), **draw_all(self.steps, ids, key)}

    def checked(self, batch: PaddedBatch) -> PaddedBatch:
        """Returns the batch as floats: each step checks what it takes."""
        return batch._replace(data=as_float(batch.data))

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each item after the steps that it takes."""
        taken = column(params["taken"], torch.bool)
        if fits_masks(self.steps, taken):
            return choose_masked(self, batch, params, taken)
        for place, rows in ways(taken).items():
            batch = route(self, batch, params, {place: rows})
        return batch

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in; where steps change them, for one table of `draw`."""
        return chosen_lengths(self, lengths, params, unchanged=True)
