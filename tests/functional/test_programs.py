"""Programs for TorchScript: the same bits as the Python they are written in, which agrees with torch's operations."""

from __future__ import annotations

import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec import augment
from ontheflyspec.functional import (
    backgrounds,
    blocks,
    convolution,
    filtering,
    masking,
    noises,
    octave_programs,
    programs,
    vocoder,
    waveform,
)

SIZES = [50, 9, 31]


@pytest.fixture(params=[torch.float32, torch.float64, torch.int16], ids=str)
def given(request):
    torch.manual_seed(0)
    waves = torch.randn(3, 50) * 3000
    kind = torch.float32 if request.param == torch.int16 else request.param
    return {
        "waves": waves.to(request.param),
        "sizes": SIZES,
        "heads": torch.randn(3, 8, dtype=kind),
        "tails": torch.randn(3, 8, dtype=kind),
        "window": torch.rand(16, dtype=kind),
        "hop_length": 5,
        "rows": [1, 0, 0, 2],
        "firsts": [0, 0, 4, 2],
        "counts": [2, 4, 7, 5],
    }


USED = {
    blocks: {"CUT": programs.cut_frames, "DEAL": programs.deal_frames, "KEEP": programs.keep_rows},
    masking: {"SCALE": programs.scale_rows},
    waveform: {"SHIFT": programs.shift_rows},
    noises: {"_ADD": noises.add_noise_to_rows},
    backgrounds: {"_ADD": backgrounds.add_stretches},
    convolution: {"_CONVOLVE": convolution.convolve_rows},
    filtering: {"_FILTER": filtering.filter_rows},
    vocoder: {"_TURNED": vocoder.turned_items},
}


@pytest.mark.parametrize("module", USED, ids=lambda module: module.__name__)
def test_they_are_compiled_here(module):
    """A mistake in a program would leave it as it stands, only slower."""
    for name, written in USED[module].items():
        assert getattr(module, name) is not written


STEPS = {
    masking: lambda bank: augment.Gain(),
    waveform: lambda bank: augment.TimeShift(shift_s=(-0.05, 0.05), mode="zero"),
    noises: lambda bank: augment.AddColoredNoise(),
    backgrounds: lambda bank: augment.Babble(bank),
    convolution: lambda bank: augment.ApplyImpulseResponse(bank),
    filtering: lambda bank: augment.BandPass(),
    vocoder: lambda bank: augment.PitchShift(semitones=(-3.0, 3.0)),
}


@pytest.mark.parametrize("module", STEPS, ids=lambda module: module.__name__)
def test_augmentations_are_the_same_without_torchscript(module, monkeypatch):
    bank = ofs.WaveformBank([torch.randn(n) for n in (5_000, 300, 9_000)], rate=16_000)
    waves = [torch.randn(2, n) for n in (9_000, 1, 4_000)]
    batch, step = ofs.pad(waves, rate=16_000, ids=[1, 2, 3]), STEPS[module](bank)
    wanted = step(batch).data
    for name, written in (*USED[module].items(), *USED[blocks].items()):
        monkeypatch.setattr(module if name in USED[module] else blocks, name, written)
    assert torch.equal(step(batch).data, wanted)


def test_without_torchscript_the_functions_run_as_they_stand(monkeypatch):
    def broken(text):
        raise RuntimeError("gone")

    monkeypatch.setattr(torch.jit, "CompilationUnit", broken)
    assert programs.compiled([programs.cut_frames])(programs.cut_frames) is programs.cut_frames


def test_text_that_torchscript_does_not_take_is_left_alone():
    def strange(x):
        yield x

    assert programs.compiled([strange])(strange) is strange


def test_cut_frames_are_those_of_the_signal_with_its_surroundings(given):
    waves = given["waves"].double() / (32768 if given["waves"].dtype == torch.int16 else 1)
    wanted = []
    for row, first, count in zip(given["rows"], given["firsts"], given["counts"], strict=True):
        whole = torch.cat([given["heads"][row], waves[row, : SIZES[row]], given["tails"][row]])
        wanted.append(whole.unfold(0, 16, 5)[first : first + count] * given["window"])
    plain, compiled = programs.cut_frames(**given), programs.fast(programs.cut_frames)(**given)
    assert plain.dtype == given["window"].dtype
    torch.testing.assert_close(plain.double(), torch.cat(wanted).double(), rtol=1e-6, atol=1e-6)
    assert torch.equal(plain, compiled)


def test_deal_frames_puts_each_stretch_in_its_place():
    features = torch.randn(2, 9)
    where = {"ends": [4, 0, 6], "rows": [0, 2, 2], "firsts": [0, 0, 3], "counts": [3 + 1, 3, 2]}
    plain, compiled = torch.full((3, 2, 7), 9.0), torch.full((3, 2, 7), 9.0)
    programs.deal_frames(features, plain, **where)
    programs.fast(programs.deal_frames)(features, compiled, **where)
    assert torch.equal(plain, compiled)
    assert torch.equal(plain[0], torch.cat([features[:, :4], torch.zeros(2, 3)], 1))
    assert bool((plain[1] == 9).all())
    assert torch.equal(plain[2], torch.cat([features[:, 4:], torch.full((2, 2), 9.0)], 1))
    where = {"ends": [4, 0, 5], "rows": [2], "firsts": [3], "counts": [2]}
    programs.deal_frames(features, plain, **where)
    assert torch.equal(plain[2, :, 3:], torch.cat([features[:, :2], torch.zeros(2, 2)], 1))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_spectra_and_products(kind):
    torch.manual_seed(0)
    frames, tolerance = torch.randn(5, 16, dtype=kind), {"rtol": 1e-5, "atol": 1e-5}
    energy = programs.power_spectra(frames, 8)
    assert energy.shape == (8, 9)
    assert torch.equal(energy[:5], programs.fast(programs.power_spectra)(frames, 8)[:5])
    torch.testing.assert_close(energy[:5], torch.fft.rfft(frames).abs().square(), **tolerance)
    bank = torch.zeros(4, 9, dtype=kind)
    bank[:2, 1:4], bank[2:, 3:9] = torch.rand(2, 3), torch.rand(2, 6)
    weights, lows = [bank[:2, 1:4], bank[2:, 3:9]], [1, 3]
    made = programs.filter_products(energy, weights, lows, 5)
    assert torch.equal(made, programs.fast(programs.filter_products)(energy, weights, lows, 5))
    torch.testing.assert_close(made, bank @ energy[:5].t(), **tolerance)


@pytest.mark.parametrize("output", ["complex", "magnitude", "power", "phase"])
def test_octave_bins_are_the_same_as_written_and_compiled(output):
    """Two groups, the lower one on a signal of half the rate, whose frames lie differently every other time."""
    torch.manual_seed(4)
    given = {
        "wave": torch.randn(1_000),
        "kernels": [torch.randn(2, 4, 30), torch.randn(1, 6, 40)],
        "filters": [torch.randn(3, 32, 16)],
        "starts": [5],
        "rows": [14],
        "sizes": [260],
        "levels": [1, 0],
        "steps": [1, 2],
        "lows": [3, 7],
        "hop_length": 21,
        "most": 400,
        "output": output,
    }
    kind = torch.complex64 if output == "complex" else torch.float32
    plain, fast = torch.zeros(5, 15, dtype=kind), torch.zeros(5, 15, dtype=kind)
    octave_programs.octave_bins(**given, out=plain)
    octave_programs.fast(octave_programs.octave_bins)(**given, out=fast)
    assert torch.equal(plain, fast)
    assert plain.abs().amin() > 0
