"""Normalisation of features to zero mean and unit variance (CMVN), over valid frames only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, check_rank
from ontheflyspec.functional import statistics
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import Transform


class Normalize(Transform):
    """Normalisation of features, ``(x - mean) / (standard deviation + eps)``, over valid frames only.

    Args:
        per: ``"item"`` (one mean and deviation an item), ``"feature"`` (one for each band of an item, CMVN), or
            ``"global"`` (given here, or found by `fit`).
        mean: for ``"global"``: a number or one for each band.
        std: for ``"global"``: a number or one for each band.
        eps: added to the deviation, in the input's unit.
        ddof: taken off the number of values where a variance is formed.

    Shape:
        ``[B, F, N]`` or ``[B, C, F, N]``, unchanged; a Tensor ``[F, N]`` is one item. Statistics are over all channels.

    Padding:
        Exactly 0 past each item's frames; padding takes no part in any statistic.

    Raises:
        ValueError: ``mean`` and ``std`` missing for ``"global"`` at the first call, or given for another ``per``.
        TypeError: features that are not real floats.

    Matches:
        numpy's mean and std of each item alone, 1e-5 (tests/parity/test_decibels.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Normalize(per="global", mean=1.0, std=2.0, eps=0.0)(torch.tensor([[3.0, 5.0]]))
        tensor([[1., 2.]])
    """

    item_rank = 2
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        per: Literal["item", "feature", "global"] = "item",
        mean: float | Sequence[float] | Tensor | None = None,
        std: float | Sequence[float] | Tensor | None = None,
        eps: float = 1e-5,
        ddof: int = 0,
    ) -> None:
        super().__init__()
        where = "Normalize"
        self.per: Any = checks.choice(where, "per", per, ("item", "feature", "global"))
        self.eps = checks.number(where, "eps", eps, low=0.0)
        self.ddof = checks.integer(where, "ddof", ddof, low=0)
        if (mean is None) != (std is None) or (mean is not None and per != "global"):
            rule = 'mean and std together, with per="global" only'
            got = f"per={per!r}, mean={mean!r}, std={std!r}"
            raise ValueError(checks.message(where, rule, got, "Give both or neither, or change per."))
        if per == "global":
            values = {"mean": _column("mean", mean), "std": _column("std", std)}
            sizes = {name: value.numel() for name, value in values.items()}
            if 1 not in sizes.values() and sizes["mean"] != sizes["std"]:
                rule = "mean and std of as many bands"
                raise ValueError(checks.message(where, rule, sizes, "Give one for each band, or a number."))
            for name, value in values.items():
                self.register_buffer(name, value)
                self.makers[name] = value.double

    def fit(self, batches: Iterable[Any]) -> Normalize:
        """Finds mean and deviation of each band over the valid frames of all batches.

        Args:
            batches: what a loader yields: PaddedBatch of features, or tuples that begin with one.

        Returns:
            Itself, with ``mean`` and ``std`` set (they are saved in checkpoints).

        Raises:
            ValueError: ``per`` is not ``"global"``, or there is no valid frame.
        """
        if self.per != "global":
            raise ValueError(checks.message("Normalize.fit", 'per="global"', f"per={self.per!r}", "Build it so."))
        count, mean, square = 0, torch.zeros((), device="cpu"), torch.zeros((), device="cpu")
        for entry in batches:
            batch = entry if isinstance(entry, PaddedBatch) else entry[0]
            check_rank("Normalize.fit", batch.data, self.item_rank, batched=True)
            for item in batch.unpad():
                values = item.detach().to("cpu", torch.float64).movedim(-2, 0).flatten(1)
                if n := values.shape[1]:
                    # Chan, Golub, LeVeque 1979: means and squares of two parts make those of the whole.
                    here = values.mean(1)
                    gap = here - mean
                    square = square + (values - here[:, None]).square().sum(1) + gap.square() * count * n / (count + n)
                    mean = mean + gap * n / (count + n)
                    count += n
        if count == 0:
            raise ValueError(checks.message("Normalize.fit", "at least one valid frame", "none", "Pass a loader."))
        std = (square / max(count - self.ddof, 1)).sqrt()
        self.mean, self.std = (value.float().to(self.mean.device)[:, None] for value in (mean, std))
        return self

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns the normalisation by statistics of the item, or by fixed ones."""
        if self.per != "global":
            return Pipeline((Node(statistics.normalise, {"per": self.per, "eps": self.eps, "ddof": self.ddof}),))
        if self.mean.numel() not in (1, n_features):
            if self.mean.numel() == 0:
                rule = 'mean and std for per="global"'
                raise ValueError(checks.message("Normalize", rule, "none", "Pass them or call fit(batches) first."))
            rule = f"features of {self.mean.numel()} bands, as its mean and std have"
            raise ValueError(checks.message("Normalize", rule, n_features, "Fit it to these features."))
        return Pipeline((Node(statistics.standardise, {"mean": self.mean, "std": self.std, "eps": self.eps}),))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Takes fitted statistics of any shape."""
        for name in ("mean", "std"):
            known = state_dict.get(prefix + name)
            if known is not None and self.per == "global":
                setattr(self, name, getattr(self, name).new_empty(known.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _column(name: str, value: Any) -> Tensor:
    """Returns statistics as ``[F, 1]`` or ``[1]``, empty for None."""
    if value is None:
        return torch.empty(0)
    values = torch.as_tensor(value, dtype=torch.float32)
    if values.dim() > 1 or not bool(torch.isfinite(values).all()) or (name == "std" and bool((values < 0).any())):
        rule = f"{name} as a finite number or one for each band" + (", none negative" if name == "std" else "")
        raise ValueError(checks.message("Normalize", rule, value, f"Change {name}."))
    return values.reshape(-1, 1)
