"""Combined frequency and periodicity against its formulas in numpy, and against nnAudio."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.signal
import torch

import ontheflyspec as ofs

RATE = 8_000
SMALL = {"n_fft": 1_024, "win_length": 513, "hop_length": 160, "fmin": 80.0, "fmax": 1_000.0, "bins_per_octave": 24}


def spectra(wave, *, n_fft, win_length, hop_length, window="blackmanharris", center=True, pad_mode="constant"):
    """Magnitudes of windowed frames, ``[N, n_fft]``, both halves."""
    window = scipy.signal.get_window({"rectangular": "boxcar"}.get(window, window), win_length, fftbins=False)
    if center:
        wave = np.pad(wave, n_fft // 2, mode=pad_mode)
    left = (n_fft - win_length) // 2
    starts = range(0, len(wave) - n_fft + 1, hop_length)
    frames = [wave[start + left : start + left + win_length] * window for start in starts]
    return np.abs(np.fft.fft(frames, n_fft, axis=1)) / np.linalg.norm(window)


def bent(values, power, cut):
    values = np.maximum(values, 0)
    values = np.log(values + 1e-8) if power == 0 else values**power
    values[:, :cut] = values[:, values.shape[1] - cut :] = 0
    return values


def transforms(magnitudes, *, fmin, fmax, gamma):
    """First spectrum, last cepstrum and last spectrum, as Su and Yang define them."""
    size = magnitudes.shape[1]
    spectrum = first = magnitudes ** gamma[0]
    for place, power in enumerate(gamma[1:]):
        if place % 2 == 0:
            cepstrum = bent(np.fft.fft(spectrum).real / math.sqrt(size), power, round(RATE / fmax))
        else:
            spectrum = bent(np.fft.fft(cepstrum).real / math.sqrt(size), power, round(fmin * size / RATE))
    return first, cepstrum, spectrum


def interpolated(values, places):
    """Weighted sums of ``values [N, size]`` around each but the outer places, by triangles at least one point wide."""
    out = []
    for left, centre, right in zip(places[:-2], places[1:-1], places[2:], strict=True):
        low, high = min(left, centre - 1), max(right, centre + 1)
        weights = np.interp(np.arange(values.shape[1]), [low, centre, high], [0, 1, 0], left=0, right=0)
        out.append(values @ weights)
    return np.array(out)


def reference(wave, *, fmin, fmax, bins_per_octave, gamma=(0.24, 0.6, 1.0), **frame):
    first, cepstrum, spectrum = transforms(spectra(wave, **frame), fmin=fmin, fmax=fmax, gamma=gamma)
    count = len([k for k in range(1_000) if fmin * 2 ** (k / bins_per_octave) < fmax * (1 - 1e-9)])
    hertz = fmin * 2 ** (np.arange(-1, count + 1) / bins_per_octave)
    half, bins = frame["n_fft"] // 2 + 1, hertz * frame["n_fft"] / RATE
    high, low = interpolated(spectrum[:, :half], bins), interpolated(cepstrum[:, :half], RATE / hertz[::-1])[::-1]
    return {"spectrum": interpolated(first[:, :half], bins), "cepstrum": low, "gcos": high, "cfp": high * low}


def items():
    torch.manual_seed(0)
    made = []
    for size, pitch, level in ((6_000, 110.0, 1.0), (2_001, 300.0, 1e-3), (300, 500.0, 0.1)):
        phase = 2 * torch.pi * pitch * torch.arange(size, dtype=torch.float64) / RATE
        tones = sum(torch.cos(phase * order) / order for order in range(1, 8))
        made.append((tones + 0.01 * torch.randn(size, dtype=torch.float64)) * level)
    return made


def agree(ours, wanted, tolerance=1e-5):
    assert ours.shape == wanted.shape
    assert np.abs(ours.numpy() - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("output", ["cfp", "spectrum", "cepstrum", "gcos"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gamma": (0.5, 0.0), "window": "hann"},
        {"gamma": (0.5, 0.0, 0.6)},
        {"gamma": (1.0, 0.5, 0.3, 0.8, 0.7), "pad_mode": "reflect"},
        {"n_fft": 801, "win_length": 400, "fmax": 4_000.0, "window": "rectangular"},
    ],
)
def test_formulas_for_each_item(options, output):
    if output == "gcos" and len(options.get("gamma", (1, 1, 1))) < 3:
        return  # an error, see below
    options = SMALL | options
    waves = items()
    out = ofs.CFP(sample_rate=RATE, output=output, **options)(ofs.pad(waves, rate=RATE))
    for ours, wave in zip(out.unpad(), waves, strict=True):
        agree(ours, reference(wave.numpy(), **options)[output])


def test_float32_and_uncentred():
    options = SMALL | {"center": False}
    wave = items()[0].float()
    wanted = reference(wave.double().numpy(), **options)["cfp"]
    agree(ofs.CFP(sample_rate=RATE, **options)(wave), wanted)


def published(name, monkeypatch, package, **options):
    """nnAudio's own layer with its constants in float64; SciPy has moved a name that it looks for."""
    monkeypatch.setenv("NNAUDIO_DISABLE_CITATION_REMINDER", "1")
    monkeypatch.setattr(scipy.signal, "blackmanharris", scipy.signal.windows.blackmanharris, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = pytest.importorskip(f"{package}.features")
        layer = getattr(features, name)(**options).double()
        layer.h = torch.from_numpy(scipy.signal.windows.blackmanharris(layer.window_size))
    return layer


@pytest.mark.parametrize("package", ["nnAudio", "nnAudio2"])
@pytest.mark.parametrize("options", [{}, {"gamma": (0.5, 0.0, 1.0)}, {"fmin": 100.0, "fmax": 1_500.0, "n_fft": 2_000}])
def test_nnaudio_for_each_item(package, options, monkeypatch):
    known = {
        "n_fft": RATE // 2,
        "win_length": 1_025,
        "fmin": 80.0,
        "fmax": 1_000.0,
        "gamma": (0.24, 0.6, 1.0),
    } | options
    theirs = {"fr": RATE / known["n_fft"], "fs": RATE, "window_size": 1_025, "hop_length": 160, "fc": known["fmin"]}
    theirs |= {"tc": 1 / known["fmax"], "g": list(known["gamma"]), "NumPerOct": 24}
    waves = items()
    made = {
        output: ofs.CFP(
            sample_rate=RATE, hop_length=160, bins_per_octave=24, filters="published", output=output, **known
        )(ofs.pad(waves, rate=RATE)).unpad()
        for output in ("cfp", "gcos", "cepstrum")
    }
    with np.errstate(divide="ignore"):
        one = published("CFP", monkeypatch, package, **theirs)
        four = published("Combined_Frequency_Periodicity", monkeypatch, package, **theirs)
    for place, wave in enumerate(waves):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            agree(made["cfp"][place], one(wave[None])[0].numpy())
            if made["cfp"][place].shape[1] < 3:  # where theirs fails, without its first and last frame
                continue
            product, _, high, low = (value[0].numpy() for value in four(wave[None]))
        agree(made["cfp"][place][:, 1:-1], product)
        agree(made["gcos"][place][:, 1:-1], high)
        agree(made["cepstrum"][place][:, 1:-1], low)


def test_published_filters_leave_bands_empty_that_triangular_ones_fill():
    wave = torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    empty = {}
    for filters in ("published", "triangular"):
        out = ofs.CFP(sample_rate=16_000, filters=filters)(wave)
        empty[filters] = int((out == 0).all(1).sum())
    assert empty == {"published": 20, "triangular": 0}


def test_a_fundamental_stands_out_from_its_harmonics():
    """The highest band of harmonics of 200 Hz is the one of 200 Hz, though 600 Hz is the loudest of them."""
    time = torch.arange(8_000) / 16_000
    levels = {1: 0.2, 2: 0.5, 3: 1.0, 4: 0.5, 5: 0.3}
    wave = sum(level * torch.sin(2 * torch.pi * 200 * order * time) for order, level in levels.items())
    cfp = ofs.CFP(sample_rate=16_000)
    peak = cfp(wave)[:, 10:-10].mean(1).argmax()
    assert abs(math.log2(float(cfp.frequencies[peak]) / 200)) <= 1 / 48


def test_rounding_is_not_blown_up():
    """What is 0 in theory stays 0, whatever power follows."""
    click = torch.zeros(4_000)
    click[2_000] = 1.0
    out = ofs.CFP(sample_rate=RATE, output="cepstrum", **SMALL)(click)
    assert not out.any()


@pytest.mark.parametrize("gamma", [(2.0, 0.6, 1.0), (2.0, 0.0, 0.6), (2.0, 1.0, 1.0)])
def test_nan_among_the_samples_is_not_taken_for_silence(gamma):
    wave = items()[0].float()
    wave[3_000] = math.nan
    out = ofs.CFP(sample_rate=RATE, gamma=gamma, **SMALL)(wave)
    assert out[:, 18].isnan().all()
    assert out[:, :14].isfinite().all()


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"fmin": 10.0}, r"fmin.*between 15\.6.*got 10"),
        ({"fmax": 5_000.0}, "fmax.*4000.*got 5000"),
        ({"fmin": 2_000.0}, r"fmin below fmax = 1000\.0 Hz, got 2000"),
        ({"gamma": (0.5,)}, "gamma.*two or more"),
        ({"gamma": (0.0, 1.0)}, "gamma.*first above 0"),
        ({"gamma": (1.0, -1.0)}, "gamma.*got -1"),
        (
            {"gamma": (0.5, 0.0), "output": "gcos"},
            r"gamma of three or more powers .*, got \(0.5, 0.0\)",
        ),
        ({"fmin": 900.0, "filters": "published", "bins_per_octave": 12}, "three or more bands .*, got 2. Raise bins"),
        ({"output": "Z"}, "output.*got 'Z'"),
        ({"filters": "mel"}, "filters.*got 'mel'"),
        ({"win_length": 2_000}, "win_length.*1024.*got 2000"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.CFP(sample_rate=RATE, **SMALL | options)


@pytest.mark.parametrize("gamma", [0.5, None, "0.5"])
def test_gamma_is_a_sequence(gamma):
    with pytest.raises(TypeError, match=r"CFP: expected gamma to be a tuple or a list, got .*\. Pass several values"):
        ofs.CFP(sample_rate=RATE, **SMALL | {"gamma": gamma})
