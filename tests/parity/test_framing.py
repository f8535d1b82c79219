"""Where frames lie, and what spectra are divided by: HiFi-GAN, Vocos, Whisper, torch.stft and torchaudio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch

import ontheflyspec as ofs

RATE = 8_000
OPTIONS: dict[str, Any] = {"sample_rate": RATE, "n_fft": 64, "hop_length": 16}


def items() -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(1)
    return [torch.randn(n, generator=draws, dtype=torch.float64) for n in (400, 123, 64, 16)]


@pytest.mark.parametrize("backend", ["fft", "conv"])
@pytest.mark.parametrize("size", [{}, {"win_length": 40}, {"n_fft": 63}, {"hop_length": 17}])
def test_same_is_hifi_gan_s(size: dict[str, int], backend: Any) -> None:
    """Reflected by half of ``n_fft - hop`` at each clip's own ends, then frames without centring."""
    options = {**OPTIONS, **size}
    step, waves = ofs.STFT(**options, center="same", backend=backend), items()
    n_fft, hop = options["n_fft"], options["hop_length"]
    out = step(ofs.pad(waves, rate=RATE))
    window = step.framing.taper()
    left = (n_fft - hop) // 2
    for found, wave in zip(out.unpad(), waves, strict=True):
        assert found.shape[-1] == step.output_lengths(len(wave)) == len(wave) // hop
        if len(wave) < hop:
            continue
        padded = torch.from_numpy(np.pad(wave.numpy(), (left, n_fft - hop - left), mode="reflect"))
        wanted = torch.fft.rfft(padded.unfold(0, n_fft, hop) * window).t()
        assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert torch.allclose(step.frame_times(3), (torch.arange(3) * hop + n_fft // 2 - left).double() / RATE)


def test_same_there_and_back_is_vocos_s() -> None:
    """Overlap-add over the sum of squared windows, less half of ``n_fft - hop`` at both ends."""
    there, back = ofs.STFT(**OPTIONS, center="same"), ofs.InverseSTFT(**OPTIONS, center="same")
    waves = [wave[: len(wave) // 16 * 16] for wave in items()]
    batch = ofs.pad(waves, rate=RATE)
    found = back(there(batch))
    assert found.lengths.tolist() == [400, 112, 64, 16]
    for made, wave in zip(found.unpad(), waves, strict=True):
        frames = torch.fft.irfft(there(wave).t()) * there.framing.taper()
        whole, weights = torch.zeros(2, len(wave) + 48, dtype=torch.float64)
        for place, frame in enumerate(frames):
            whole[16 * place : 16 * place + 64] += frame
            weights[16 * place : 16 * place + 64] += there.framing.taper().square()
        assert (made - (whole / weights)[24:-24]).abs().max() < 1e-9
        assert (made - wave).abs().max() < 1e-9
    spectra = there(batch)
    again = ofs.GriffinLim(**OPTIONS, center="same", n_iter=2)(spectra._replace(data=spectra.data.abs()))
    assert again.lengths.tolist() == [400, 112, 64, 16]


def test_a_dropped_last_frame_is_whisper_s() -> None:
    plain = ofs.STFT(**OPTIONS, output="magnitude")
    for extra in ({}, {"center": False}):
        plain = ofs.STFT(**OPTIONS, **extra, output="magnitude")
        step, batch = ofs.STFT(**OPTIONS, **extra, output="magnitude", drop_last=True), ofs.pad(items(), rate=RATE)
        whole, found = plain(batch), step(batch)
        assert found.lengths.tolist() == (whole.lengths - 1).clamp(min=0).tolist()
        for made, wanted in zip(found.unpad(), whole.unpad(), strict=True):
            assert torch.equal(made, wanted[:, : made.shape[-1]])
    assert step.output_lengths(0) == 0
    back = ofs.InverseSTFT(**OPTIONS, drop_last=True)
    spectra = ofs.STFT(**OPTIONS, drop_last=True)(ofs.pad(items(), rate=RATE))
    assert back(spectra, lengths=[400, 123, 64, 16]).lengths.tolist() == [400, 123, 64, 16]


@pytest.mark.parametrize("window", ["hann", ("kaiser", 8.0)])
def test_normalised_spectra(window: Any) -> None:
    wave = items()[0]
    taper = torch.from_numpy(scipy.signal.get_window(window, 64))
    theirs = torch.stft(wave, 64, 16, window=taper, return_complex=True, normalized=True)
    plain = ofs.STFT(**OPTIONS, window=window)(wave)
    for normalized in (True, "frame_length"):
        torch.testing.assert_close(ofs.STFT(**OPTIONS, window=window, normalized=normalized)(wave), theirs)
    by_window = ofs.MelSpectrogram(**OPTIONS, window=window, n_mels=8, normalized="window")(wave)
    wanted = ofs.MelSpectrogram(**OPTIONS, window=window, n_mels=8)(wave) / taper.square().sum()
    torch.testing.assert_close(by_window, wanted)
    back = ofs.InverseSTFT(**OPTIONS, window=window, normalized=True)(theirs, lengths=400)
    assert (back - wave).abs().max() < 1e-9
    assert plain.shape == theirs.shape


def test_symmetric_windows() -> None:
    wave = items()[0]
    window = torch.hann_window(64, periodic=False, dtype=torch.float64)
    theirs = torch.stft(wave, 64, 16, window=window, return_complex=True)
    found = ofs.STFT(**OPTIONS, symmetric=True)(wave)
    assert (found - theirs).abs().max() < 1e-6 * theirs.abs().max()


def test_griffin_lim_gives_the_length_that_waves_had() -> None:
    waves = ofs.pad([wave.float() for wave in items()], rate=RATE)
    magnitudes = ofs.STFT(**OPTIONS, output="magnitude")(waves)
    step = ofs.GriffinLim(**OPTIONS, n_iter=4)
    found = step(magnitudes, lengths=waves.lengths)
    assert found.lengths.tolist() == waves.lengths.tolist()
    alone = step(magnitudes.unpad()[1], lengths=123)
    assert torch.equal(found.unpad()[1], alone)
    with pytest.raises(ValueError, match="GriffinLim: expected a length of item 1 whose spectrum has its 8 frames"):
        step(magnitudes, lengths=[400, 300, 64, 16])


def test_resampling_there_and_back_gives_the_length_that_waves_had() -> None:
    waves = ofs.pad([torch.randn(n) for n in (44_101, 5, 0, 1_000)], rate=44_100)
    down = ofs.Resample(sample_rate=44_100, new_sample_rate=16_000)(waves)
    step = ofs.Resample(sample_rate=16_000, new_sample_rate=44_100)
    found = step(down, lengths=waves.lengths)
    assert found.lengths.tolist() == waves.lengths.tolist()
    assert found.data.shape[-1] == 44_101
    for made, whole in zip(found.unpad(), step(down).unpad(), strict=True):
        assert torch.equal(made, whole[: len(made)])
    assert not found.data[3, 1_000:].any()
    assert step(torch.randn(2, 1_600), lengths=[4_410, 4_409]).shape == (2, 4_410)
    with pytest.raises(ValueError, match=r"Resample: expected lengths of 0 to \[44103, 6, 0, 1001\], got"):
        step(down, lengths=[44_105, 1, 0, 0])
    with pytest.raises(TypeError, match="Resample: expected lengths in whole samples, got float32"):
        step(down, lengths=[1.0, 1, 0, 0])


@pytest.mark.parametrize(("old", "new"), [(16_001, 16_000), (44_056, 44_100), (7_993, 8_000), (48_000, 7_001)])
def test_rates_without_a_common_divisor(old: int, new: int) -> None:
    """Tones keep their pitch and level, each item as alone, on both ways, in memory of a few megabytes."""
    step = ofs.Resample(sample_rate=old, new_sample_rate=new)
    assert step.kernels.nbytes < 64e6
    times = torch.arange(2 * old, dtype=torch.float64) / old
    tone = torch.sin(2 * torch.pi * 700 * times)
    batch = ofs.pad([tone, tone[: old // 3], tone[:7]], rate=old)
    found = step(batch)
    for made, wave in zip(found.unpad(), batch.unpad(), strict=True):
        assert torch.equal(made, step(wave))
        assert len(made) == -(-len(wave) * new // old)
    wanted = torch.sin(2 * torch.pi * 700 * torch.arange(len(found.data[0]), dtype=torch.float64) / new)
    assert (found.data[0] - wanted)[400:-400].abs().max() < 1.2e-3  # 0.01 dB
    watched = step(batch._replace(data=batch.data.clone().requires_grad_()))
    assert (watched.data - found.data).abs().max() < 1e-12
