"""What is trained begins as what is fixed, and one step of descent changes it and leaves it finite."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
from case import BANDS, FOURIER, MEL, RATE
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.transforms.base import Transform

BINS: dict[str, Any] = {"sample_rate": RATE, "hop_length": 16, "fmin": 500.0, "n_bins": 6, "bins_per_octave": 3}
OCTAVES: dict[str, Any] = {"sample_rate": RATE, "hop_length": 16, "fmin": 500.0, "n_octaves": 2, "bins_per_octave": 12}
LEAF: dict[str, Any] = {"sample_rate": RATE, "n_filters": 4, "filter_length": 33, "hop_length": 16}

# Class, options, those of the fixed one alone, and the tolerance: 1e-4 where that one works by octaves.
CASES: list[tuple[str, dict[str, Any], dict[str, Any], float]] = [
    ("STFT", {**FOURIER, "output": "complex"}, {}, 1e-5),
    ("STFT", {**FOURIER, "output": "magnitude", "center": False}, {}, 1e-5),
    ("STFT", {**FOURIER, "output": "power", "freq_scale": "log", "n_bins": 9}, {}, 1e-5),
    ("MelSpectrogram", {**MEL, "mel_scale": "htk"}, {}, 1e-5),
    ("MelSpectrogram", {**MEL, "power": 1.0}, {}, 1e-5),
    ("MFCC", {**MEL, "n_mfcc": 4}, {}, 1e-5),
    ("LFCC", {**FOURIER, "n_filter": BANDS, "n_lfcc": 4}, {}, 1e-5),
    ("LFCC", {**FOURIER, "n_filter": BANDS, "n_lfcc": 4, "log": "log"}, {}, 1e-5),
    ("BarkSpectrogram", {**FOURIER, "n_bands": BANDS}, {}, 1e-5),
    ("Gammatonegram", {**FOURIER, "n_bins": BANDS, "fmin": 100.0}, {}, 1e-5),
    ("Gammatonegram", {**FOURIER, "n_bins": BANDS, "fmin": 100.0, "method": "impulse"}, {}, 1e-5),
    ("Chroma", {**FOURIER, "norm": 2}, {}, 1e-5),
    ("Chroma", {**OCTAVES, "source": "cqt", "norm": None}, {}, 1e-4),
    ("Tonnetz", {**FOURIER, "source": "stft"}, {}, 1e-5),
    ("Tonnetz", {**OCTAVES, "source": "cqt"}, {}, 1e-4),
    ("CQT", {**BINS, "output": "complex"}, {"method": "direct"}, 1e-5),
    ("CQT", {**BINS, "output": "magnitude", "filters": "nnaudio"}, {}, 1e-4),
    ("VQT", {**BINS, "output": "power"}, {"method": "direct"}, 1e-5),
    ("VQT", {**BINS, "output": "complex", "gamma": 5.0}, {}, 1e-4),
    ("HarmonicCQT", {**BINS, "n_bins": 3, "harmonics": (0.5, 1, 3)}, {"method": "direct"}, 1e-5),
    ("PCEN", {"sample_rate": RATE, "hop_length": 160, "n_bands": BANDS}, {}, 1e-5),
    ("PCEN", {"b": 0.3, "start": "first", "n_bands": BANDS}, {}, 1e-5),
    ("LearnableFilterbank", {**LEAF, "pooling_length": 41}, {}, 1e-5),
    ("LearnableFilterbank", {**LEAF, "pooling_length": 41, "kind": "sinc", "pooling": "mean", "pcen": False}, {}, 1e-5),
]


def name(case: tuple[str, dict[str, Any], dict[str, Any], float]) -> str:
    kind, options, fixed, _ = case
    words = [str(value) for key, value in {**options, **fixed}.items() if isinstance(value, str)]
    return "-".join([kind, *words])


every = pytest.mark.parametrize(("kind", "options", "fixed", "tolerance"), CASES, ids=map(name, CASES))


def batch(kind: str) -> PaddedBatch:
    """Two items of unlike length."""
    draws = torch.Generator().manual_seed(0)
    if kind == "PCEN":
        return ofs.pad([torch.rand(BANDS, n, generator=draws) ** 4 for n in (60, 17)], rate=50)
    return ofs.pad([torch.randn(n, generator=draws) * 0.3 for n in (1_200, 333)], rate=RATE)


def real(values: Tensor) -> Tensor:
    return torch.view_as_real(values) if values.is_complex() else values


@every
def test_begins_as_the_fixed_one(kind: str, options: Any, fixed: Any, tolerance: float) -> None:
    frozen, trained = (
        getattr(ofs, kind)(**options, **fixed, trainable=False),
        getattr(ofs, kind)(**options, trainable=True),
    )
    given = batch(kind)
    for one, other in zip(trained(given).unpad(), frozen(given).unpad(), strict=True):
        assert (one.detach() - other).abs().max() <= tolerance * other.abs().max()
    with torch.no_grad():
        for one, other in zip(trained(given).unpad(), frozen(given).unpad(), strict=True):
            assert (one - other).abs().max() <= tolerance * other.abs().max()


@every
def test_one_step_changes_the_output_and_leaves_it_finite(
    kind: str, options: Any, fixed: Any, tolerance: float
) -> None:
    module, given = getattr(ofs, kind)(**options, trainable=True), batch(kind)
    before = real(module(given).data)
    weights = torch.rand(before.shape, generator=torch.Generator().manual_seed(1))
    (before * weights).sum().backward()
    for path, value in module.named_parameters():
        assert value.grad is not None, f"{path} has no part in the output"
        assert value.grad.isfinite().all(), path
        assert value.grad.any(), path
    # A step by a hundredth of the parameters' own size, whatever their unit.
    groups = [
        {"params": [value], "lr": 0.01 * float(value.detach().norm() / value.grad.norm())}
        for value in module.parameters()
    ]
    torch.optim.SGD(groups).step()
    after = real(module(given).data)
    assert after.isfinite().all()
    assert ((after - before).abs().flatten(1).amax(1) > 1e-5 * before.abs().max()).all()


def test_every_class_that_can_be_trained_is_here() -> None:
    kinds = [getattr(ofs, each) for each in ofs.__all__]
    known = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Transform)]
    can = {kind.__name__ for kind in known if "trainable" in inspect.signature(kind).parameters}
    assert can == {kind for kind, *_ in CASES}
