"""Several features of one batch, from one pass over its frames."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.base import Params, as_full_batch, drawn, ids_of
from ontheflyspec.batch import PaddedBatch, lift
from ontheflyspec.compose import Compose
from ontheflyspec.functional import stages
from ontheflyspec.functional.stages import Stage
from ontheflyspec.routing import call, checked_steps, draws, hooked, pointwise_after, run_all, takes
from ontheflyspec.targets import Target
from ontheflyspec.transforms.base import Transform


class Parallel(nn.Module):
    """Several features of one batch, which share a Fourier stage where their frames and windows are the same.

    Chains take part with their first step; what follows runs on its output. Random steps draw by the place of their
    feature, too: to augment the audio of all features alike, put the augmentation before, in a `Compose` of which this
    is the last step.

    Args:
        transforms: transforms and chains of them, by name, all for waveforms or all for spectrograms.

    Shape:
        A mapping from each name to what that transform gives: a `PaddedBatch` for a `PaddedBatch`, a Tensor for a
        Tensor, ``(mapping, targets)`` for ``(PaddedBatch, targets)``.

    Raises:
        ValueError: no transforms, transforms for unlike input, a name that ``torch.nn.ModuleDict`` cannot hold;
            whatever a transform raises.
        TypeError: what is neither a Transform nor an Augment.

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
    """So that it can be the last step of a chain only."""
    seed = 0

    def __init__(self, **transforms: nn.Module) -> None:
        super().__init__()
        parts = checked_steps("Parallel", transforms.values(), alike=True)
        for name in transforms:
            if "." in name or hasattr(nn.ModuleDict, name):
                rule = "names of features that are no dotted names and no methods of torch.nn.ModuleDict"
                raise ValueError(checks.message("Parallel", rule, repr(name), "Rename the feature."))
        self.item_rank, self.sample_rate = takes(parts)
        self.transforms = nn.ModuleDict(dict(zip(transforms, parts, strict=True)))

    def forward(self, x: Any) -> Any:
        """Returns the features of what loaders yield."""
        return lift("Parallel", x, self._on_batch, self._on_tensor)

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training and any(draws(part) for part in self.transforms.values())

    def draw(self, items: Tensor | PaddedBatch, key: int | None = None) -> Params:
        """Returns what would be drawn; see `Augment.draw`."""
        return drawn(self, items, key)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns a table of tables: the name of each random feature to its own table."""
        parts: Any = self.transforms
        key = rng.fold(0, self.seed) if key is None else key
        return {
            name: part.sample(ids, rng.fold(key, place, part.seed))
            for place, (name, part) in enumerate(parts.items())
            if draws(part)
        }

    def apply(self, batch: Any, params: Params | None = None) -> Any:
        """Returns the features of a batch, random ones as a table of `draw` says; see `Augment.apply`."""
        if params is None:
            return super().apply(batch)
        return self._run(batch, batch.data, batch.lengths, params)

    def carry(self, batch: PaddedBatch, targets: Sequence[Any], params: Params) -> tuple[Any, Sequence[Any]]:
        """Returns the features of a batch as a table says; targets would have to follow each of them its own way."""
        if any(isinstance(target, Target) for target in targets):
            rule = "no random steps inside, or targets that nothing moves"
            got = " and ".join(type(target).__name__ for target in targets if isinstance(target, Target))
            raise TypeError(checks.message("Parallel", rule, got, "Put the augmentations before it."))
        return self.apply(batch, params), targets

    def output_lengths(self, lengths: Any) -> dict[str, Any]:
        """Returns steps out for steps in, by name."""
        parts: Any = self.transforms
        return {name: part.output_lengths(lengths) for name, part in parts.items()}

    def _on_batch(self, batch: PaddedBatch) -> dict[str, PaddedBatch]:
        if not self.is_random():
            return self._run(batch, batch.data, batch.lengths, {})
        return self._run(batch, batch.data, batch.lengths, self.sample(ids_of(batch)))

    def _on_tensor(self, data: Tensor) -> dict[str, Tensor]:
        if self.is_random():
            made: dict[str, Tensor] = as_full_batch(self, data, self._on_batch)
            return made
        checks.rank("Parallel", data, self.item_rank, batched=False)
        if data.dim() == self.item_rank:
            return {name: made[0] for name, made in self._run(data[None], data[None], None, {}).items()}
        return self._run(data, data, None, {})

    def _run(self, x: Any, data: Tensor, lengths: Tensor | None, params: Params) -> dict[str, Any]:
        """Returns the features of a batch or a Tensor of items, with the stages of equal keys done together."""
        known: Any = self.transforms
        shared: dict[Hashable, list[tuple[str, Transform, Stage]]] = {}
        for name, part in known.items():
            front = None if name in params else _front(part)
            if front is None:
                continue
            front.check(x)
            stage = front.stage(data)
            if stage is not None:
                shared.setdefault(stage.key, []).append((name, front, stage))
        made: dict[str, Any] = {}
        for members in shared.values():
            if len(members) > 1:
                made |= self._together(members, x, data, lengths)
        for name, part in known.items():
            if name not in made:
                made[name] = call(part, x, params.get(name))[0]
        return {name: made[name] for name in known}

    def _together(
        self, members: Sequence[tuple[str, Transform, Stage]], x: Any, data: Tensor, lengths: Tensor | None
    ) -> dict[str, Any]:
        after = [pointwise_after(front, _rest(self.transforms[name]), data) for name, front, _ in members]
        found = stages.features(data, lengths, [stage for *_, stage in members], after)
        made = {}
        for (name, front, _), features, steps in zip(members, found, after, strict=True):
            out: Any = front.complete(features, None if lengths is None else front.output_lengths(lengths))
            if isinstance(x, PaddedBatch):
                out = PaddedBatch(out, front.output_lengths(x.lengths), front.output_rate(x.rate), x.ids)
            whole: Any = self.transforms[name]
            made[name] = run_all(whole, out, {}, first=1 + len(steps))[0] if isinstance(whole, Compose) else out
        return made


def _front(part: Any) -> Transform | None:
    """Returns what takes the waves, if nothing random or watched stands in the way of sharing its first stage."""
    first = part
    if isinstance(part, Compose):
        if hooked(part):
            return None
        first = part.steps[0]
    return first if isinstance(first, Transform) and not hooked(first) else None


def _rest(part: Any) -> list[nn.Module]:
    return list(part.steps)[1:] if isinstance(part, Compose) else []
