"""InverseSTFT against torch.istft, librosa.istft, and the waves that went into STFT."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

import ontheflyspec as ofs
from ontheflyspec.functional import istft
from ontheflyspec.windows import window

OPTIONS = [
    {},
    {"window": "hamming", "hop_length": 256},
    {"win_length": 300, "hop_length": 77},
    {"window": "rectangular", "hop_length": 512},
    {"window": "blackman", "hop_length": 100},
    {"n_fft": 401, "hop_length": 100},
]


def spectra(n_fft, frames, scale=1.0):
    """Returns a complex spectrum that no wave has."""
    draws = torch.Generator().manual_seed(frames)
    noise = torch.randn(n_fft // 2 + 1, frames, dtype=torch.complex128, generator=draws)
    return noise * scale


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_torch_and_librosa_agree_on_each_item(options, dtype):
    """On spectra that no wave has, so that the sums of windows matter."""
    known = {"n_fft": 512, "hop_length": 128} | options
    items = [spectra(known["n_fft"], 30), spectra(known["n_fft"], 4, 1e-3)]
    batch = ofs.pad([item.to(dtype) for item in items], rate=16_000 / known["hop_length"])
    out = ofs.InverseSTFT(sample_rate=16_000, **known)(batch)
    assert out.rate == 16_000
    limit = 1e-11 if dtype == torch.complex128 else 2e-6
    name, size = known.pop("window", "hann"), known.get("win_length", known["n_fft"])
    for ours, item in zip(out.unpad(), items, strict=True):
        shown = {"rectangular": "boxcar"}.get(name, name)
        theirs = librosa.istft(item.numpy(), window=shown, length=ours.shape[-1], **known)
        assert np.abs(ours.numpy() - theirs).max() <= limit * np.abs(theirs).max()
        if known["n_fft"] % 2 == 0:
            other = torch.istft(item, window=window(name, size, size).double(), **known)
            assert other.shape == ours.shape
            assert (ours - other).abs().max() <= limit * other.abs().max()


@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_there_and_back_is_nothing(music, options, pad_mode, dtype):
    """Every item at its own length, whatever its end; in blocks, and in the form that autograd takes."""
    known = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 128} | options
    items = [music.to(dtype), music[:4_097].to(dtype) * 1e-3, music[100:1_379].to(dtype), music[:1].to(dtype) + 1]
    batch = ofs.pad(items, rate=16_000)
    spectrum = ofs.STFT(pad_mode=pad_mode, **known)(batch)
    inverse = ofs.InverseSTFT(**known)
    watched = spectrum._replace(data=spectrum.data.clone().requires_grad_())
    for given in (spectrum, watched):
        back = inverse(given, lengths=batch.lengths)
        assert back.lengths.tolist() == batch.lengths.tolist()
        assert back.rate == 16_000
        for ours, item in zip(back.unpad(), items, strict=True):
            # A window of no overlap leaves samples after the last whole hop that no frame has seen.
            known_part = len(item) if known["hop_length"] <= known["n_fft"] // 2 else (len(item) - 256) // 512 * 512
            if known_part > 0:
                gap = (ours - item).detach()[:known_part].abs().max()
                assert gap <= (1e-5 if dtype == torch.float32 else 1e-9) * item.abs().max()
        assert not back.data.detach()[~back.mask()].any()


@pytest.mark.parametrize("options", [{}, {"window": "hamming"}, {"n_fft": 401, "hop_length": 100}], ids=str)
def test_there_and_back_without_centring(music, options):
    known = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 128, "center": False} | options
    items = [music[: 512 + 20 * 128].float(), music[:1_000].float()]
    batch = ofs.pad(items, rate=16_000)
    back = ofs.InverseSTFT(**known)(ofs.STFT(**known)(batch))
    sums = 1e-3
    for ours, item in zip(back.unpad(), items, strict=True):
        n = len(ours)
        assert n <= len(item)
        frames = (n - known["n_fft"]) // known["hop_length"] + 1
        name, size = known.get("window", "hann"), known["n_fft"]
        covered = np.zeros(n)
        for t in range(frames):
            covered[t * known["hop_length"] :][:size] += window(name, size, size).numpy() ** 2
        seen = torch.from_numpy(covered > sums)
        assert seen.sum() > 0.9 * n
        assert (ours - item[:n])[seen].abs().max() <= 1e-5 * item.abs().max()


def test_channels_and_tensors_and_one_item(music):
    known = {"sample_rate": 16_000, "n_fft": 256, "hop_length": 64}
    stft, inverse = ofs.STFT(**known), ofs.InverseSTFT(**known)
    wave = torch.stack([music[:2_000], music[2_000:4_000], music[4_000:6_000], music[6_000:]]).float()
    for shaped in (wave, wave.view(2, 2, 2_000), wave[0]):
        back = inverse(stft(shaped))
        assert back.shape == (*shaped.shape[:-1], 1_984)
        assert (back - shaped[..., :1_984]).abs().max() < 1e-5
        asked = 2_000 if shaped.dim() == 1 else [2_000] * shaped.shape[0]
        assert (inverse(stft(shaped), lengths=asked) - shaped).abs().max() < 1e-5
    batch = ofs.pad([wave[0], wave[1, :700]], rate=16_000)
    out, label = inverse((stft(batch), "label"), lengths=batch.lengths)
    assert label == "label"
    assert (out.data - batch.data).abs().max() < 1e-5


def test_lengths_on_the_device_side_are_taken_as_they_are():
    inverse = ofs.InverseSTFT(sample_rate=8_000, n_fft=64, hop_length=16)
    assert inverse.output_lengths(torch.tensor([0, 1, 2, 10])).tolist() == [0, 0, 16, 144]
    plain = ofs.InverseSTFT(sample_rate=8_000, n_fft=64, hop_length=16, center=False)
    assert [plain.output_lengths(n) for n in (0, 1, 3)] == [0, 64, 96]


@pytest.mark.parametrize("hop", [1, 3, 16, 20, 33, 64])
def test_sums_of_squared_windows(hop):
    """Of any run of frames, against adding them up."""
    values = window("hamming", 64, 64)
    sums = istft.window_sums(values, hop)
    parts = -(-64 // hop)
    for frames in (1, 2, 3, 70):
        wanted = np.zeros((frames - 1) * hop + parts * hop)
        for t in range(frames):
            wanted[t * hop : t * hop + 64] += values.numpy() ** 2
        rows = istft.inverse_sum_index(torch.tensor(frames), frames + parts - 1, parts)
        assert sums.flatten(0, 1)[rows].flatten().numpy() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["hann", "rectangular", "blackman", "bartlett", "hamming"])
@pytest.mark.parametrize("hop", [8, 16, 31, 32, 33, 40, 64, 80])
def test_only_hops_that_overlap_enough_are_taken(name, hop):
    shown = {"rectangular": "boxcar"}.get(name, name)
    fits = hop <= 64 and scipy.signal.check_NOLA(scipy.signal.get_window(shown, 64), 64, 64 - hop)
    if fits:
        ofs.InverseSTFT(sample_rate=8_000, n_fft=64, hop_length=hop, window=name)
    else:
        with pytest.raises(ValueError, match=rf"InverseSTFT: expected hop_length .* got {hop}\. Lower .* 32 or less"):
            ofs.InverseSTFT(sample_rate=8_000, n_fft=64, hop_length=hop, window=name)


def test_bad_input_names_value_and_remedy():
    inverse = ofs.InverseSTFT(sample_rate=8_000, n_fft=64, hop_length=16)
    spectrum = torch.zeros(2, 33, 5, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"n_fft // 2 \+ 1 = 33 bins for n_fft = 64, got 20\. .*without freq_scale"):
        inverse(spectrum[:, :20])
    with pytest.raises(TypeError, match=r"complex64, complex128, got float32"):
        inverse(spectrum.real)
    batch = ofs.PaddedBatch(spectrum, torch.tensor([5, 3]), 500.0)
    with pytest.raises(ValueError, match=r"500 frames per second .* got 400"):
        inverse(batch._replace(rate=400.0))
    with pytest.raises(ValueError, match=r"a length of item 1 whose spectrum has its 3 frames, got 48 with 4\. Pass"):
        inverse(batch, lengths=torch.tensor([64, 48]))
    with pytest.raises(ValueError, match=r"lengths as int64 \[2\] on the host, got \[3\]"):
        inverse(batch, lengths=[64, 32, 5])
    with pytest.raises(TypeError, match="InverseSTFT: expected lengths in whole samples, got float32"):
        inverse(batch, lengths=[64.9, 48.0])
    with pytest.raises(ValueError, match="a length of item 0 whose spectrum has its 0 frames, got -5"):
        inverse(batch.data[0, :, :0], lengths=-5)
    assert inverse(batch, lengths=[79, 33]).data.shape == (2, 79)
    with pytest.raises(ValueError, match=r"hop_length to be an integer of at least 1, got 0"):
        ofs.InverseSTFT(sample_rate=8_000, hop_length=0)


def test_a_chain_ends_in_waves(music):
    known = {"sample_rate": 16_000, "n_fft": 256, "hop_length": 64}
    chain = ofs.Compose([ofs.STFT(**known), ofs.InverseSTFT(**known)])
    out = chain(ofs.pad([music[:1_000], music[:500]], rate=16_000))
    assert out.rate == 16_000
    assert out.lengths.tolist() == [960, 448]
    assert (out.data[0] - music[:960]).abs().max() < 1e-5
