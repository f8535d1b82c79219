"""Constants of transforms: exact in float64, made once, and values put in their place count in either precision."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import ontheflyspec as ofs
from ontheflyspec.transforms.base import Transform
from registry import CASES

OPTIONS = {"sample_rate": 16_000, "n_fft": 256, "hop_length": 64, "n_mels": 20}
WITH_CONSTANTS = [case for case in CASES if isinstance(case.make(), Transform)]


def owners(step: nn.Module) -> list[Transform]:
    return [module for module in step.modules() if isinstance(module, Transform) and module.makers]


@pytest.mark.parametrize("case", WITH_CONSTANTS, ids=lambda case: case.name)
def test_constants_are_exact_in_double(case):
    for owner in owners(case.make()):
        trained = {name for name, _ in owner.named_parameters(recurse=False)}
        for name, maker in owner.makers.items():
            exact, given = maker(), owner.constant(name, torch.float64)
            assert given.dtype == torch.float64
            assert torch.equal(given.detach(), exact.float().double() if name in trained else exact), name
            assert torch.equal(owner.constant(name, torch.float32), exact.float()), name


def test_what_rounding_lost_is_made_once_for_a_device():
    mel = ofs.MelSpectrogram(**OPTIONS)
    wave = torch.randn(1, 2_000, dtype=torch.float64)
    first = mel(wave)
    made = []
    for owner in owners(mel):
        for name, maker in owner.makers.items():
            owner.makers[name] = lambda name=name, maker=maker: made.append(name) or maker()
    assert torch.equal(mel(wave), first)
    assert not made
    for again in (copy.deepcopy(mel), pickle.loads(pickle.dumps(ofs.MelSpectrogram(**OPTIONS)))):
        assert torch.equal(again(wave), first)


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("trainable", [False, True])
def test_values_in_the_place_of_constants_count(dtype, trainable):
    mel = ofs.MelSpectrogram(**OPTIONS, trainable=trainable)
    wave = torch.randn(2, 2_000, dtype=dtype)
    plain = mel(wave)
    doubled = {name: 2 * value for name, value in [*mel.named_parameters(), *mel.named_buffers()]}
    swapped = torch.func.functional_call(mel, doubled, (wave,))
    torch.testing.assert_close(swapped, 8 * plain, rtol=1e-6, atol=0.0)  # |2 X|² by twice the filters
    parametrize.register_parametrization(mel, "filterbank", Doubled())
    torch.testing.assert_close(mel(wave), 2 * plain, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_reach_values_in_the_place_of_constants(dtype):
    mel = ofs.MelSpectrogram(**OPTIONS)
    wave = torch.randn(2, 2_000, dtype=dtype)
    factor = torch.tensor(1.0, requires_grad=True)
    swapped = torch.func.functional_call(mel, {"filterbank": factor * mel.filterbank}, (wave,))
    (slope,) = torch.autograd.grad(swapped.sum(), factor)
    torch.testing.assert_close(slope.double(), mel(wave).sum().double(), rtol=1e-5, atol=0.0)


def test_a_window_replaced_in_place_counts_in_double():
    stft = ofs.STFT(sample_rate=16_000, n_fft=256, output="magnitude")
    wave = torch.randn(2_000, dtype=torch.float64)
    plain = stft(wave)
    stft.window.mul_(3.0)
    torch.testing.assert_close(stft(wave), 3 * plain, rtol=1e-6, atol=1e-5)


WAYS = {
    "assigned": lambda mel, filters: setattr(mel, "filterbank", filters),
    "in place": lambda mel, filters: mel.filterbank.copy_(filters),
    "trained, then frozen": lambda mel, filters: mel.filterbank.data.copy_(filters),
}
AFTER = {"as it is": lambda mel: mel, "copied": copy.deepcopy, "pickled": lambda mel: pickle.loads(pickle.dumps(mel))}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("way", WAYS)
def test_filters_of_one_s_own_count_beyond_the_triangles(way, after):
    """All FFT bins of other filters are summed, not only those of the mel filters whose place they took."""
    mel = ofs.MelSpectrogram(**OPTIONS, trainable=way not in ("assigned", "in place"))
    wave, filters = torch.randn(2, 2_000), torch.rand(20, 129)
    mel.requires_grad_(False)
    mel(wave)
    WAYS[way](mel, filters)
    found = AFTER[after](mel)(wave)
    power = ofs.STFT(sample_rate=16_000, n_fft=256, hop_length=64, output="power")(wave)
    assert (found - filters @ power).abs().max() <= 1e-5 * found.abs().max()
