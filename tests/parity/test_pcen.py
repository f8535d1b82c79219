"""Per-channel energy normalisation against librosa, item by item, and the recursion against a loop."""

from __future__ import annotations

import decimal

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.functional.pcen import recursion

FRAMES = {"sample_rate": 16_000, "hop_length": 160}


def items() -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = ((300, 1e3), (1, 1.0), (65, 1e-4), (9_000, 1.0))
    return [torch.rand(5, n, dtype=torch.float64).pow(4) * scale for n, scale in shapes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gain": 0.5, "bias": 10.0, "power": 0.25, "eps": 1e-3},
        {"time_constant": 0.06},
        {"time_constant": 20.0},
        {"b": 0.2},
        {"b": 1.0},
        {"power": 0.0},
        {"bias": 0.0},
    ],
    ids=str,
)
def test_pcen_is_that_of_librosa_for_each_item(options, dtype):
    given = [item.to(dtype) for item in items()]
    out = ofs.PCEN(**({} if "b" in options else FRAMES), **options)(ofs.pad(given, rate=100))
    for ours, item in zip(out.unpad(), given, strict=True):
        wanted = librosa.pcen(item.double().numpy(), sr=16_000, hop_length=160, **options)
        assert np.abs(ours.numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_without_new_frames_the_gain_stays_what_it_was():
    """Where librosa finds no steady state."""
    item = items()[0]
    wanted = (item / (1 + 1e-6) ** 0.98 + 2.0) ** 0.5 - 2.0**0.5
    torch.testing.assert_close(ofs.PCEN(b=0.0)(item), wanted)


@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_nan_among_the_energies_is_not_taken_for_silence(bias):
    item = items()[0]
    item[:, 100] = torch.nan
    out = ofs.PCEN(b=0.0, bias=bias)(item)
    assert out[:, 100].isnan().all()
    assert out[:, :64].isfinite().all()  # steps are taken in blocks of 64


def test_start_first_is_librosa_s_with_the_first_frame_as_state():
    for item in items():
        ours = ofs.PCEN(start="first", b=0.1)(item)
        state = 0.9 * item[:, :1].numpy()
        wanted = librosa.pcen(item.numpy(), b=0.1, zi=state)
        assert np.abs(ours.numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_trainable_learns_by_band():
    trained = ofs.PCEN(**FRAMES, trainable=True, n_bands=5)
    second = trained(ofs.pad([item.float() for item in items()], rate=100)).data
    assert {name: list(value.shape) for name, value in trained.state_dict().items()} == {
        name: [5] for name in ("gain", "bias", "power", "b")
    }
    (second * torch.rand(second.shape)).sum().backward()
    assert all((value.grad != 0).all() for value in trained.parameters())


def test_trained_values_out_of_range_are_held_at_the_bounds():
    trained = ofs.PCEN(**FRAMES, trainable=True, n_bands=5)
    bounded = ofs.PCEN(gain=0.0, bias=1e-4, power=1e-4, b=1.0)
    with torch.no_grad():
        for name, value in (("gain", -1.0), ("bias", -1.0), ("power", -1.0), ("b", 2.0)):
            getattr(trained, name).fill_(value)
    item = items()[0]
    torch.testing.assert_close(trained(item), bounded(item), rtol=1e-6, atol=0)


@pytest.mark.parametrize("decay", [1e-30, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("size", [1, 63, 64, 65, 5_000])
def test_recursion_is_a_loop(decay, size):
    draws = torch.Generator().manual_seed(0)
    x, state = torch.rand(2, 3, size, generator=draws, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    out = recursion(x, torch.tensor([decay], dtype=torch.float64).log(), state)
    states = []
    for step in range(size):
        state = decay * state + x[..., step]
        states.append(state)
    torch.testing.assert_close(out, torch.stack(states, -1))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, "sample_rate and hop_length.*got .None, None.. Pass both, or b"),
        ({"sample_rate": 8_000}, "sample_rate and hop_length.*or b"),
        ({"b": 1.5}, "b.*between 0 and 1.*got 1.5"),
        ({"b": 0.1, "gain": -1.0}, "gain.*got -1"),
        ({"b": 0.1, "bias": -1.0}, "bias.*got -1"),
        ({"b": 0.1, "power": -1.0}, "power.*got -1"),
        ({"b": 0.1, "eps": 0.0}, "eps.*between 1e-30.*got 0"),
        ({"b": 0.1, "eps": 1e-50}, "eps.*between 1e-30.*got 1e-50"),
        ({"b": 0.1, "bias": 1e-50}, "bias to be 0 or at least 1e-30, got 1e-50. Change bias"),
        (FRAMES | {"time_constant": 0.0}, "time_constant above 0"),
        (
            {"b": 0.1, "time_constant": 0.5},
            "time_constant only with b=None, got time_constant=0.5. Leave out time_const",
        ),
        (FRAMES | {"b": 0.1}, "sample_rate, hop_length only with b=None"),
        ({"b": 0.1, "start": "last"}, "start.*'one'.*'first'"),
        ({"b": 0.1, "trainable": True}, "n_bands with trainable=True"),
        ({"b": 0.1, "trainable": True, "n_bands": 2, "bias": 0.0}, "bias.*between 0.0001"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.PCEN(**options)


def test_frames_of_another_rate_raise():
    """Their time constant would be another one; a weight is meant for frames of any rate."""
    batch = ofs.pad([torch.ones(4, 9)], rate=50)
    with pytest.raises(ValueError, match=r"PCEN: expected a batch of 100 frames per second .*, got 50\. Build it"):
        ofs.PCEN(**FRAMES)(batch)
    assert ofs.PCEN(b=0.1)(batch).rate == 50
    assert ofs.PCEN(sample_rate=22_050, hop_length=512)(batch._replace(rate=22_050 / 512)).data.shape == (1, 4, 9)


@pytest.mark.parametrize("seconds", [1e-12, 1e-6, 1.0, 1e9])
def test_weights_of_any_time_constant_are_exact(seconds):
    """The root of ``frames^2 b^2 + b = 1`` between 0 and 1, in 50 digits."""
    context = decimal.Context(prec=50)
    square = context.power(decimal.Decimal(seconds) * 100, 2)
    wanted = (context.sqrt(1 + 4 * square) - 1) / (2 * square)
    made = float(ofs.PCEN(**FRAMES, time_constant=seconds).constant("b", torch.float64))
    assert made == pytest.approx(float(wanted), rel=1e-14)


@pytest.mark.parametrize("small", [{"eps": 1e-30}, {"bias": 1e-30}], ids=str)
def test_least_values_stay_finite_in_float32(small):
    item = items()[0].float()
    wanted = ofs.PCEN(b=0.1, **small)(item.double())
    assert (ofs.PCEN(b=0.1, **small)(item) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("trainable", [False, True])
def test_other_numbers_of_bands_raise(trainable):
    with pytest.raises(ValueError, match="n_bands = 5 bands, got 4"):
        ofs.PCEN(b=0.1, trainable=trainable, n_bands=5)(torch.ones(4, 9))


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
@pytest.mark.parametrize("start", ["one", "first"])
@pytest.mark.parametrize("watched", [False, True])
def test_a_fault_spoils_what_comes_after_it_only(fault, start, watched):
    """Smoothing is causal, also inside the blocks that are one product."""
    step = ofs.PCEN(**FRAMES, start=start)
    energies = torch.rand(1, 5, 300)
    clean, energies[0, 2, 150] = step(energies), fault
    out = step(energies.requires_grad_(watched)).detach()
    assert out[0, 2, 150:].isnan().all()
    assert torch.equal(out[0, 2, :150], clean[0, 2, :150])
    assert torch.equal(out[0, [0, 1, 3, 4]], clean[0, [0, 1, 3, 4]])
