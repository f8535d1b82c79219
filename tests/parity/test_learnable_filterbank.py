"""Learnable filters against the papers' formulas, written out in float64 with numpy."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs

RATE = 8_000
SMALL = {"sample_rate": RATE, "n_filters": 6, "filter_length": 65, "hop_length": 40, "pooling_length": 101}
STEPS = np.arange(65) - 32


def gabor(centres, widths):
    """Equations 1 and 2 of LEAF: a complex sinusoid under a Gaussian."""
    bell = np.exp(-(STEPS**2) / (2 * widths[:, None] ** 2)) / (np.sqrt(2 * np.pi) * widths[:, None])
    return np.exp(1j * centres[:, None] * STEPS) * bell


def sinc(low, band):
    """Equation 4 of SincNet at a sampling rate, over twice the width, under a Hamming window around the centre."""
    with np.errstate(invalid="ignore"):
        sines = np.sin(2 * np.pi * (low + band)[:, None] * STEPS / RATE) - np.sin(
            2 * np.pi * low[:, None] * STEPS / RATE
        )
        shape = sines * RATE / (np.pi * STEPS) / (2 * band[:, None])
    shape[:, 32] = 1.0
    return shape * (0.54 + 0.46 * np.cos(2 * np.pi * STEPS / 65))


def pooled(wave, filters, pools):
    """Squared modulus of the "same" convolution, and its weighted sums around every 40th sample."""
    frames = 1 + len(wave) // 40
    out = np.zeros((len(filters), frames))
    for band, (taps, weights) in enumerate(zip(filters, pools, strict=True)):
        energy = np.abs(np.convolve(wave, taps, "full")[32 : 32 + len(wave)]) ** 2
        energy = np.concatenate([np.zeros(50), energy, np.zeros(100)])
        out[band] = [(energy[40 * t : 40 * t + 101] * weights).sum() for t in range(frames)]
    return out


def normalised(energy, gain=0.96, bias=2.0, power=0.5, b=0.04, eps=1e-12):
    """Equation 6 of LEAF: PCEN whose smoothed energies begin as the first frame."""
    energy = np.maximum(energy, 1e-5)
    past = np.empty_like(energy)
    last = energy[:, 0]
    for step in range(energy.shape[1]):
        past[:, step] = last = (1 - b) * last + b * energy[:, step]
    return (energy / (eps + past) ** gain + bias) ** power - bias**power


def items():
    draws = torch.Generator().manual_seed(0)
    shapes = ((30_000, 1.0), (1, 1.0), (5_000, 1e-3), (79, 1.0), (40, 1.0))
    return [torch.randn(n, generator=draws, dtype=torch.float64) * scale for n, scale in shapes]


def starts(kind, init="mel", fmin=60.0, fmax=RATE / 2):
    def spaced(count):
        if init == "linear":
            return np.linspace(fmin, fmax, count)
        return librosa.mel_frequencies(count, fmin=fmin, fmax=fmax, htk=True)

    if kind == "sinc":
        edges = spaced(7)
        return edges[:-1], np.diff(edges)
    points = spaced(8)
    return 2 * np.pi * points[1:-1] / RATE, np.sqrt(2 * np.log(2)) * RATE / np.pi / (0.75 * (points[2:] - points[:-2]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pcen": False},
        {"pooling": "mean"},
        {"init": "linear"},
        {"fmin": 200.0, "fmax": 3_000.0},
        {"kind": "sinc"},
        {"kind": "sinc", "pcen": False, "init": "linear"},
    ],
    ids=str,
)
def test_energies_are_those_of_the_formulas_for_each_item(options, trainable, dtype):
    module = ofs.LearnableFilterbank(**SMALL, **options, trainable=trainable)
    kind = options.get("kind", "gabor")
    spacing = {name: options[name] for name in ("init", "fmin", "fmax") if name in options}
    filters = (gabor if kind == "gabor" else sinc)(*starts(kind, **spacing))
    pools = np.full((6, 101), 1 / 101)
    if options.get("pooling") != "mean":
        pools[:] = np.exp(-0.5 * ((np.arange(101) - 50) / (0.4 * 50)) ** 2)
    given = [item.to(dtype) for item in items()]
    with torch.no_grad():
        out = module(ofs.pad(given, rate=RATE)).unpad()
    watched = module(ofs.pad(given, rate=RATE)).unpad()
    for place, item in enumerate(given):
        wanted = pooled(item.double().numpy(), filters, pools)
        wanted = normalised(wanted) if options.get("pcen", True) else wanted
        for ours in (out[place], watched[place]):
            assert ours.shape == wanted.shape
            assert np.abs(ours.detach().numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_filters_begin_as_leaf_s_do():
    """LEAF takes centres and widths at half the height off the roots of mel filters over 2^18 bins."""
    bins = 1 << 18
    weights = np.sqrt(librosa.filters.mel(sr=RATE, n_fft=bins, n_mels=6, fmin=60.0, htk=True, norm=None))
    centres = weights.argmax(1) * 2 * np.pi / bins
    widths = np.sqrt(2 * np.log(2)) * bins / (np.pi * (weights >= weights.max(1, keepdims=True) / 2).sum(1))
    module = ofs.LearnableFilterbank(**SMALL)
    assert np.allclose(module.centres.detach(), centres, rtol=1e-3)
    assert np.allclose(module.widths.detach(), widths, rtol=1e-3)


def put(module, name, value):
    if name.endswith("_hz"):
        setattr(module, name, torch.full((6,), value))
    else:
        getattr(module, name).fill_(value)


@pytest.mark.parametrize(("kind", "names"), [("gabor", {"centres", "widths"}), ("sinc", {"low_hz", "band_hz"})])
def test_gradients_reach_every_parameter(kind, names):
    module = ofs.LearnableFilterbank(**SMALL, kind=kind)
    shared = {"pool_widths", "pcen.gain", "pcen.bias", "pcen.power", "pcen.b"}
    assert {name: list(value.shape) for name, value in module.state_dict().items()} == {
        name: [6] for name in names | shared
    }
    out = module(ofs.pad([item.float() for item in items()], rate=RATE)).data
    (out * torch.rand(out.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for name, value in module.named_parameters():
        assert torch.isfinite(value.grad).all(), name
        assert (value.grad != 0).all(), name
    assert ofs.LearnableFilterbank(**SMALL, kind=kind, trainable=False).state_dict() == {}


@pytest.mark.parametrize(
    ("kind", "wild", "held"),
    [
        ("gabor", {"centres": -1.0, "widths": 0.0}, {"centres": 0.0, "widths": 4 * np.sqrt(2 * np.log(2)) / np.pi}),
        ("gabor", {"centres": 9.0, "widths": 1e9}, {"centres": np.pi, "widths": 65 * np.sqrt(2 * np.log(2)) / np.pi}),
        ("sinc", {"low_hz": -50.0, "band_hz": -3.0}, {"low_hz": 0.0, "band_hz": 1.0}),
        ("sinc", {"low_hz": 100.0, "band_hz": 9e9}, {"low_hz": 100.0, "band_hz": 3_900.0}),
        ("gabor", {"pool_widths": 0.0}, {"pool_widths": 2 / 101}),
        ("gabor", {"pool_widths": 3.0}, {"pool_widths": 0.5}),
    ],
)
def test_parameters_out_of_range_are_held_at_its_end(kind, wild, held):
    outs = []
    for values in (wild, held):
        module = ofs.LearnableFilterbank(**SMALL, kind=kind, pcen=False)
        with torch.no_grad():
            for name, value in values.items():
                put(module, name, value)
            outs.append(module(items()[0].float()))
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-4, atol=1e-6 * float(outs[1].max()))


def test_few_blocks_or_many_are_the_same(monkeypatch):
    from ontheflyspec.functional import learnable_filterbank

    module = ofs.LearnableFilterbank(**SMALL, pcen=False)
    wave = torch.randn(2, 30_000, dtype=torch.float64)
    whole = module(wave)
    monkeypatch.setattr(learnable_filterbank, "CHUNK", 1)
    monkeypatch.setattr(learnable_filterbank, "CHUNK_ON_DEVICE", 1)
    torch.testing.assert_close(module(wave), whole)
    with torch.no_grad():
        torch.testing.assert_close(module(wave), whole.detach())


@pytest.mark.parametrize(
    ("kind", "wild", "hertz"),
    [
        ("gabor", {"centres": 9.0}, RATE / 2),
        ("gabor", {"centres": -9.0}, 0.0),
        ("sinc", {"low_hz": -500.0, "band_hz": 100.0}, 50.0),
        ("sinc", {"low_hz": 3_000.0, "band_hz": 9_000.0}, 3_500.0),
        ("sinc", {"low_hz": 9_000.0, "band_hz": 9_000.0}, RATE / 2 - 0.5),
        ("sinc", {"low_hz": 100.0, "band_hz": -3.0}, 100.5),
    ],
)
def test_frequencies_are_held_where_the_filters_are(kind, wild, hertz):
    """The bin at which the filter lets most through, on the scale of what is told."""
    module = ofs.LearnableFilterbank(**SMALL, kind=kind)
    with torch.no_grad():
        for name, value in wild.items():
            put(module, name, value)
    assert module.frequencies.tolist() == pytest.approx([hertz] * 6, rel=1e-6)
    if kind == "gabor":
        real, imaginary = module._filters(torch.zeros(1))[:, 0].detach()
        response = torch.fft.fft(torch.complex(real, imaginary), 1_024).abs()[:513]
        assert float(response.argmax()) * RATE / 1_024 == pytest.approx(hertz)


def test_frequencies_follow_the_parameters():
    module = ofs.LearnableFilterbank(**SMALL)
    torch.testing.assert_close(
        module.frequencies.numpy(),
        librosa.mel_frequencies(8, fmin=60.0, fmax=4_000.0, htk=True)[1:-1],
        rtol=1e-6,
        atol=0,
    )
    with torch.no_grad():
        module.centres.fill_(np.pi / 2)
    assert torch.allclose(module.frequencies, torch.tensor(2_000.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"n_filters": 0}, "n_filters.*1.*got 0"),
        ({"filter_length": 400}, "an odd filter_length, so that it has a centre, got 400. Take 401"),
        ({"pooling_length": 1}, "pooling_length.*3.*got 1"),
        ({"hop_length": 0}, "hop_length.*1.*got 0"),
        ({"kind": "mel"}, "kind.*'gabor'.*'sinc'.*got 'mel'"),
        ({"pooling": "max"}, "pooling.*'gaussian'.*'mean'"),
        ({"init": "bark"}, "init.*'mel'.*'linear'"),
        ({"fmax": 9_000.0}, "fmax.*8000.*got 9000"),
        ({"fmin": 5_000.0, "fmax": 4_000.0}, "fmin below fmax = 4000.0 Hz, got 5000"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.LearnableFilterbank(sample_rate=16_000, **options)


def test_sinc_filters_learn_and_keep_their_edges_in_hertz():
    """Adam's steps of 1e-3 reach a band that lies elsewhere; checkpoints are in Hz, also those of before."""
    module = ofs.LearnableFilterbank(sample_rate=16_000, n_filters=4, kind="sinc", pooling="mean", pcen=False)
    before = module.low_hz.detach().clone()
    options = {"sample_rate": 16_000, "n_filters": 4, "kind": "sinc", "pooling": "mean", "pcen": False}
    tone = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    wanted = ofs.LearnableFilterbank(**options, init="linear")(tone).detach()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        (module(tone) - wanted).square().mean().backward()
        optimizer.step()
    assert (module.low_hz - before).abs().max() > 50
    state = module.state_dict()
    assert set(state) == {"low_hz", "band_hz"}
    torch.testing.assert_close(state["low_hz"], module.low_hz.detach())
    other = ofs.LearnableFilterbank(sample_rate=16_000, n_filters=4, kind="sinc", pooling="mean", pcen=False)
    wrapped = torch.nn.ModuleDict({"front": other})
    wrapped.load_state_dict({f"front.{name}": value for name, value in state.items()})
    torch.testing.assert_close(other(tone), module(tone))


@pytest.mark.parametrize(
    ("kind", "name", "wild", "up"),
    [
        ("gabor", "centres", 4.0, False),
        ("gabor", "centres", -0.5, True),
        ("gabor", "widths", 0.1, True),
        ("gabor", "pool_widths", 0.8, False),
        ("sinc", "low_share", -0.1, True),
        ("sinc", "low_share", 1.2, False),
        ("gabor", "pcen.b", 1.5, False),
        ("gabor", "pcen.power", -0.2, True),
        ("gabor", "pcen.gain", -0.2, True),
    ],
)
def test_a_parameter_beyond_its_limit_comes_back(kind, name, wild, up):
    """A loss that wants the output of parameters within the limits leads them back: the gradient points inward."""
    torch.manual_seed(0)
    wave = torch.randn(2, 3_000)
    options = {**SMALL, "kind": kind, "pcen": name.startswith("pcen")}
    module, target = ofs.LearnableFilterbank(**options), ofs.LearnableFilterbank(**options)
    value = module.get_parameter(name)
    with torch.no_grad():
        value.fill_(wild)
    (module(wave) - target(wave).detach()).square().mean().backward()
    assert (value.grad < 0 if up else value.grad > 0).all()
