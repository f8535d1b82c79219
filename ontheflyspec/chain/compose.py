"""Compose: steps in a row, with fused transforms and one seed for all draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.augment.ranges import Params
from ontheflyspec.chain.run import Chain, Targets, checked_steps, draw_all, draws, output_lengths, run_all, takes
from ontheflyspec.transforms.base import Transform


class Compose(Chain):
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
        last = list(self.steps)[-1]
        self.gives_mapping = isinstance(last, Chain) and last.gives_mapping

    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns a table of tables: that of each random step under its place, as a string."""
        return draw_all(self.steps, ids, key)

    def run(self, x: Any, params: Params, targets: Targets = ()) -> tuple[Any, Targets]:
        """Returns the batch after every step, and its targets."""
        return run_all(self, x, params, targets)

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in, through all steps."""
        for place, step in enumerate(self.steps):
            lengths = output_lengths(step, lengths, None if params is None else params.get(str(place)))
        return lengths

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training and any(draws(step) for step in self.steps)

    @property
    def frequencies(self) -> Tensor:
        """Hz of the output's bands, float64 ``[F]``, as the last step that knows says."""
        place, step = self._last_knowing("frequencies")
        result: Tensor = step.frequencies
        return result.repeat(self._after(place, len(result)) // len(result))

    @property
    def n_features(self) -> int:
        """Bands of the output, as the last step that knows says."""
        place, step = self._last_knowing("n_features")
        return self._after(place, step.n_features)

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64, as the last step that knows says."""
        result: Tensor = self._last_knowing("frame_times")[1].frame_times(n_frames)
        return result

    def _last_knowing(self, name: str) -> tuple[int, Any]:
        """Returns the last transform that has an attribute, and its place among the steps of all inner chains."""
        for place, step in reversed(list(enumerate(self._flat()))):
            if isinstance(step, Transform):
                if getattr(step, name, None) is not None:
                    return place, step
                if step.makes_waves:
                    break
        raise AttributeError(
            checks.message("Compose", f"a step that has {name}", "none", "Add MelSpectrogram or STFT.")
        )

    def _after(self, place: int, n_features: int) -> int:
        """Returns the number of bands that the steps after a place make of ``n_features``."""
        for step in self._flat()[place + 1 :]:
            n_features = step.output_features(n_features) if isinstance(step, Transform) else n_features
        return n_features

    def _flat(self) -> list[Any]:
        """Returns the steps, with inner chains replaced by their own steps."""
        return [one for step in self.steps for one in (step._flat() if isinstance(step, Compose) else [step])]

    def forward(self, x: Any) -> Any:
        """Runs the steps on what loaders yield; see the class."""
        if isinstance(x, Tensor) and not self.is_random():
            return run_all(self, x, {})[0]
        return super().forward(x)
