"""Descriptors of frames against librosa, item by item and row by row."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs

RATE = 16_000
FRAME = {"n_fft": 512, "hop_length": 128}
SPECTRAL = ("centroid", "bandwidth", "rolloff", "flatness", "contrast")


def wanted(
    wave, *, features=SPECTRAL, center=True, pad_mode="constant", win_length=None, n_fft=512, hop_length=128, **own
):
    """Returns librosa's rows, one below the other."""
    framing = {"hop_length": hop_length, "center": center}
    fourier = {**framing, "n_fft": n_fft, "win_length": win_length, "pad_mode": pad_mode}
    rows = []
    for feature in features:
        if feature == "rms":
            rows.append(librosa.feature.rms(y=wave, frame_length=n_fft, pad_mode=pad_mode, dtype=wave.dtype, **framing))
        elif feature == "zero_crossing_rate":
            rows.append(librosa.feature.zero_crossing_rate(wave, frame_length=n_fft, **framing))
        else:
            rate = {} if feature == "flatness" else {"sr": RATE}
            function = getattr(librosa.feature, f"spectral_{feature}")
            rows.append(function(y=wave, **rate, **own.get(feature, {}), **fourier))
    return np.concatenate(rows, -2)


def compare(ours, theirs, share=1e-5):
    ours = ours.numpy()
    assert ours.shape == theirs.shape
    peaks = np.abs(theirs).max(-1, keepdims=True)
    assert (np.abs(ours - theirs) <= share * peaks + 1e-12).all()


def items(music):
    return [part.double() for part in (music, music[:3_000] * 1e-3, music[5_000:], music[:100])]


pytestmark = pytest.mark.filterwarnings("ignore:n_fft=512 is too large:UserWarning")
EVERY = (*SPECTRAL, "rms", "zero_crossing_rate")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pad_mode": "constant"},
        {"pad_mode": "constant", "win_length": 300},
        {"center": False},
        {"features": ("rms", "contrast", "centroid")},
    ],
    ids=str,
)
def test_rows_are_those_of_librosa_for_each_item(music, options):
    options = {"features": EVERY} | options
    given = [item for item in items(music) if options.get("center", True) or len(item) >= 512]
    given = given if options.get("pad_mode") == "constant" else [item for item in given if len(item) > 256]
    out = ofs.SpectralDescriptors(sample_rate=RATE, **FRAME, **options)(ofs.pad(given, rate=RATE))
    for ours, item in zip(out.unpad(), given, strict=True):
        compare(ours, wanted(item.numpy(), **{"pad_mode": "reflect"} | options))


@pytest.mark.parametrize(
    ("feature", "ours", "theirs"),
    [
        ("bandwidth", {"p": 1.0}, {"p": 1}),
        ("bandwidth", {"p": 3.5}, {"p": 3.5}),
        ("rolloff", {"roll_percent": 0.1}, {"roll_percent": 0.1}),
        ("flatness", {"amin": 1e-3}, {"amin": 1e-3}),
        ("contrast", {"n_contrast_bands": 4, "fmin": 100.0}, {"n_bands": 4, "fmin": 100.0}),
        ("contrast", {"quantile": 0.3}, {"quantile": 0.3}),
        ("contrast", {"quantile": 0.95, "n_contrast_bands": 1}, {"quantile": 0.95, "n_bands": 1}),
    ],
)
def test_options_are_those_of_librosa(music, feature, ours, theirs):
    wave = items(music)[0]
    plain = ofs.SpectralDescriptors(sample_rate=RATE, **FRAME, features=(feature,))(wave)
    found = ofs.SpectralDescriptors(sample_rate=RATE, **FRAME, features=(feature,), **ours)(wave)
    assert found.shape != plain.shape or not torch.allclose(found, plain)
    compare(found, wanted(wave.numpy(), features=(feature,), pad_mode="reflect", **{feature: theirs}))


def test_float32_and_defaults(music):
    smooth = [feature for feature in EVERY if feature != "rolloff"]
    module = ofs.SpectralDescriptors(sample_rate=22_050, features=smooth, pad_mode="constant")
    ours = module(music)
    theirs = [librosa.feature.spectral_centroid(y=music.numpy()), librosa.feature.spectral_bandwidth(y=music.numpy())]
    theirs += [librosa.feature.spectral_flatness(y=music.numpy()), librosa.feature.spectral_contrast(y=music.numpy())]
    theirs += [librosa.feature.rms(y=music.numpy()), librosa.feature.zero_crossing_rate(music.numpy())]
    theirs = np.concatenate(theirs)
    valleys = np.array(["contrast" in name for name in module.names])  # decibels of bins 60 dB below the others'
    compare(ours[~valleys], theirs[~valleys], 1e-6)
    compare(ours[valleys], theirs[valleys], 1e-3)


def test_silence_gives_librosa_s_values():
    still = np.zeros(2_000)
    module = ofs.SpectralDescriptors(sample_rate=RATE, **FRAME)
    found = module(torch.from_numpy(still))
    compare(found, wanted(still, features=EVERY))
    values = dict(zip(module.names, found[:, 0].tolist(), strict=True))
    assert values.pop("flatness") == pytest.approx(1.0)
    assert set(values.values()) == {0.0}


def test_contrast_has_its_floors_in_the_item_s_own_maxima():
    """Noise, then the same 90 dB (as librosa counts) down, beside an item that is that quiet throughout."""
    noise = torch.randn(4_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = [torch.cat([noise, noise * 1e-9]), noise * 1e-9]
    out = ofs.SpectralDescriptors(sample_rate=RATE, **FRAME, features=("contrast",))(ofs.pad(given, rate=RATE))
    for ours, item in zip(out.unpad(), given, strict=True):
        compare(ours, wanted(item.numpy(), features=("contrast",), pad_mode="reflect"))
    assert not torch.allclose(out.unpad()[0][:, 40:60], out.unpad()[1][:, 8:28])


def test_crossings_are_counted_as_librosa_counts_them():
    wave = torch.tensor(
        [0.0, -0.0, 1.0, -1.0, -1e-11, -1e-11, 1.0, 1.0, -2.0, -1e-9, 0.0, 3.0] * 30, dtype=torch.float64
    )
    options = {"n_fft": 16, "hop_length": 5}
    module = ofs.SpectralDescriptors(sample_rate=RATE, features=("zero_crossing_rate",), **options)
    theirs = librosa.feature.zero_crossing_rate(wave.numpy(), frame_length=16, hop_length=5)
    assert np.array_equal(module(wave).numpy(), theirs)


def test_names_say_what_rows_are():
    module = ofs.SpectralDescriptors(sample_rate=RATE, features=("rms", "contrast", "flatness"), n_contrast_bands=2)
    assert module.names == ["rms", "contrast_0", "contrast_1", "contrast_2", "flatness"]
    assert module.n_features == 5 == module(torch.randn(1_000)).shape[0]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"features": ("rms", "loudness")}, "each of features.*'centroid'.*got 'loudness'"),
        ({"features": ()}, "at least one"),
        ({"features": ("rms", "rms")}, "different names"),
        ({"roll_percent": 1.0}, "roll_percent above 0 and below 1"),
        ({"quantile": 0.0}, "quantile above 0 and below 1"),
        ({"p": 0.5}, "p.*1.*got 0.5"),
        ({"amin": 0.0}, "amin above 0"),
        ({"fmin": 0.0}, "fmin above 0"),
        ({"n_contrast_bands": 7}, "below sample_rate / 2 = 8000.0 Hz, got 12800.0 Hz. Lower n_contrast_bands"),
        ({"n_fft": 64}, "FFT bins in every contrast band .they lie 250 Hz apart., got none in band 0"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.SpectralDescriptors(sample_rate=RATE, **options)


@pytest.mark.parametrize("features", ["rms", None, 3])
def test_features_are_a_sequence(features):
    with pytest.raises(TypeError, match=r"expected features to be a tuple or a list, got .*\. Pass"):
        ofs.SpectralDescriptors(sample_rate=RATE, features=features)


@pytest.mark.parametrize(("rate", "count"), [(8_000, 5), (22_050, 6), (96_000, 6)])
def test_as_many_contrast_bands_as_fit(rate, count):
    """Where none are named; the last begins below half the sample rate."""
    wave = torch.randn(4_000, generator=torch.Generator().manual_seed(0))
    made = ofs.SpectralDescriptors(sample_rate=rate)
    named = ofs.SpectralDescriptors(sample_rate=rate, n_contrast_bands=count)
    assert made.names == named.names
    assert torch.equal(made(wave), named(wave))
    with pytest.raises(ValueError, match=f"begin below sample_rate / 2 = {rate / 2} Hz, got {rate / 2} Hz"):
        ofs.SpectralDescriptors(sample_rate=rate, fmin=rate / 2)
