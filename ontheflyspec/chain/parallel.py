"""Parallel: several features of one batch, which share one Fourier transform where their frames are equal."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ontheflyspec import checks, pipeline
from ontheflyspec.augment.ranges import Params
from ontheflyspec.batch import PaddedBatch, check_rank
from ontheflyspec.chain import compose, run
from ontheflyspec.chain.compose import Chain, Compose
from ontheflyspec.chain.run import Fused, Targets
from ontheflyspec.labels import Target
from ontheflyspec.options import written
from ontheflyspec.transforms.edit import EditTransform


class Parallel(Chain):
    """Several features of one batch, which share a Fourier stage where their frames and windows are the same.

    Of a chain only the first step shares the transform; further steps run on its output. Random steps draw by the place
    of their feature, too: to augment the audio of all features alike, put the augmentation before, in a `Compose` with
    this as its last step.

    Args:
        transforms: transforms and chains of them, by name, all for waveforms or all for spectrograms.

    Shape:
        A mapping from each name to what that transform gives: a `PaddedBatch` for a `PaddedBatch`, a Tensor for a
        Tensor, ``(mapping, targets)`` for ``(PaddedBatch, targets)``.

    Raises:
        ValueError: no transforms, transforms for unlike input, a name that ``torch.nn.ModuleDict`` cannot hold;
            whatever a transform raises.
        TypeError: a feature that is neither a Transform nor an Augment.

    Matches:
        Each transform by itself: bitwise on a CPU, 1e-6 of the peak beside an `STFT` with ``freq_scale``, whose FFT is
        longer (tests/test_parallel.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> options = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160}
        >>> features = ofs.Parallel(
        ...     mel=ofs.Compose([ofs.MelSpectrogram(**options, n_mels=64), ofs.AmplitudeToDB()]),
        ...     mfcc=ofs.MFCC(**options, n_mels=64),
        ... )
        >>> {name: list(made.shape) for name, made in features(torch.randn(2, 16_000)).items()}
        {'mel': [2, 64, 101], 'mfcc': [2, 20, 101]}
    """

    gives_mapping = True

    def __init__(self, **transforms: nn.Module) -> None:
        super().__init__(seed=0)
        parts = compose.checked_steps("Parallel", transforms.values(), alike=True)
        for name in transforms:
            if "." in name or name in dir(nn.ModuleDict):
                rule = "names of features that are no dotted names and no methods of torch.nn.ModuleDict"
                raise ValueError(checks.message("Parallel", rule, repr(name), "Rename the feature."))
        self.item_rank, self.sample_rate = compose.takes(parts)
        self.transforms: Any = nn.ModuleDict(dict(zip(transforms, parts, strict=True)))

    def __repr__(self) -> str:
        """Returns the call that makes it."""
        return written(self, [f"{name}={part!r}" for name, part in self.transforms.items()])

    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns a table of tables: that of each random feature under its name."""
        found = compose.draw_all(self.transforms.values(), ids, key)
        return {name: found[str(place)] for place, name in enumerate(self.transforms) if str(place) in found}

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training and any(compose.draws(part) for part in self.transforms.values())

    def output_lengths(self, lengths: Any, params: Params | None = None) -> dict[str, Any]:
        """Returns steps out for steps in, by name."""
        tables = params or {}
        return {name: compose.output_lengths(part, lengths, tables.get(name)) for name, part in self.transforms.items()}

    def forward(self, x: Any) -> Any:
        """Returns the features of what loaders yield."""
        if not isinstance(x, Tensor) or self.is_random():
            return super().forward(x)
        check_rank("Parallel", x, self.item_rank, batched=False)
        if x.dim() == self.item_rank:
            return {name: made[0] for name, made in self.run(x[None], {})[0].items()}
        return self.run(x, {})[0]

    def run(
        self,
        x: Any,
        params: Params,
        targets: Targets = (),
        ahead: Any = None,  # noqa: ARG002
    ) -> tuple[dict[str, Any], Targets]:
        """Returns the features of a batch or a Tensor of items; those with equal framings share a Fourier transform.

        Features that draw or change durations raise beside targets that follow: each would move them its own way.
        """
        moves = params or any(isinstance(part, EditTransform) and part.changes_lengths for part in self.modules())
        if moves and any(isinstance(target, Target | PaddedBatch) for target in targets):
            rule = "no steps inside that draw or change durations, or targets that nothing moves"
            got = " and ".join(type(target).__name__ for target in targets if isinstance(target, Target | PaddedBatch))
            raise TypeError(checks.message("Parallel", rule, got, "Put these steps before it."))
        fronts: dict[str, tuple[Fused, list[Any]]] = {}
        for name, part in self.transforms.items():
            steps = [] if name in params or run.has_hooks(part) else _steps(part)
            if steps:
                with run.named(part, 0):
                    front = run.fused(steps, 0, x)
                if front is not None and front.pipeline.framing is not None:
                    fronts[name] = front, steps
        found = pipeline.run([front.pipeline for front, _ in fronts.values()], *run.samples(x))
        made: dict[str, Any] = {}
        for (name, (front, steps)), features in zip(fronts.items(), found, strict=True):
            out, rest = front.result(features, x), front.n_steps < len(steps)
            made[name] = run.run_all(self.transforms[name], out, {}, first=front.n_steps)[0] if rest else out
        for name, part in self.transforms.items():
            if name not in made:
                made[name] = part.replay(x, params[name]) if name in params else part(x)
        return {name: made[name] for name in self.transforms}, targets


def _steps(part: Any) -> list[Any]:
    """Returns the steps of a `Compose`, or a transform as the only step."""
    return run.steps_of(part) if isinstance(part, Compose) else [part]
