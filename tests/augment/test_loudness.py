"""Levels against their formulas, and loudness against the standard in numpy and torchaudio."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal, stats

import ontheflyspec as ofs
from benchmarks.peers import peer
from ontheflyspec.augment import LoudnessNormalize, PeakNormalize, RMSNormalize
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional import loudness

# The table of ITU-R BS.1770-4 for 48 kHz.
STANDARD = np.array(
    [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
)


def measured(wave: np.ndarray, sections: np.ndarray, rate: int) -> float:
    """Returns LUFS of ``[C, T]`` as the standard says, block by block."""
    weighted = signal.sosfilt(sections, wave)
    block, step = round(0.4 * rate), round(0.1 * rate)
    starts = range(0, wave.shape[-1] - block + 1, step)
    energies = np.array([(weighted[:, start : start + block] ** 2).mean(1).sum() for start in starts])
    if not len(energies):
        return -0.691 + 10 * np.log10((weighted**2).mean(1).sum())
    levels = -0.691 + 10 * np.log10(energies + 1e-30)
    relative = -0.691 + 10 * np.log10(energies[levels > -70].mean()) - 10
    return -0.691 + 10 * np.log10(energies[(levels > -70) & (levels > relative)].mean())


def programme(rate: int, seconds: float, seed: int, channels: int = 2) -> np.ndarray:
    """Returns noise whose level goes up and down by 60 dB, so that both gates matter."""
    draws = np.random.default_rng(seed)
    n = int(seconds * rate)
    level = -35 + 30 * np.sin(np.arange(n) / rate * 3 + seed)
    colour = signal.lfilter([1], [1, -0.9], draws.standard_normal((channels, n)), axis=-1)
    return 0.2 * colour * 10 ** (level / 20)


def lufs(batch: PaddedBatch) -> list[float]:
    """Returns the loudness of items: all at once, and where it can be told item by item, from what a step makes."""
    found = loudness.loudness_amplitude(batch.data, batch.lengths, batch.rate)
    levels = (20 * found.detach().log10()).flatten()
    if not batch.data.requires_grad:
        scaled = LoudnessNormalize(loudness_lufs=-20.0)(batch)
        factors = [float(new.norm() / old.norm()) for new, old in zip(scaled.unpad(), batch.unpad(), strict=True)]
        one_by_one = -20 - 20 * torch.tensor(factors, dtype=torch.float64).log10()
        assert torch.allclose(one_by_one, levels, rtol=0, atol=1e-5)
        return one_by_one.tolist()
    return levels.tolist()


@pytest.mark.parametrize("requires_grad", [False, True])
def test_loudness_is_that_of_the_standard(requires_grad: bool) -> None:
    """At 48 kHz by the table of the standard, for clips of unlike length in one batch, also shorter than a block."""
    waves = [programme(48_000, seconds, place) for place, seconds in enumerate((4.0, 2.55, 0.4, 0.39, 0.05))]
    batch = ofs.pad(waves, rate=48_000)
    data = torch.where(batch.mask().unsqueeze(1), batch.data, float("nan")).requires_grad_(requires_grad)
    expected = [measured(wave, STANDARD, 48_000) for wave in waves]
    np.testing.assert_allclose(lufs(batch._replace(data=data)), expected, atol=0.001)


@pytest.mark.parametrize(("rate", "lasting"), [(8_000, (1.3, 0.7)), (22_050, (0.8,))])
def test_loudness_agrees_with_torchaudio(rate: int, lasting: tuple[float, ...]) -> None:
    """Clips are short, as without its extension torchaudio filters sample by sample in Python."""
    functional = peer("torchaudio.functional")
    if functional is None:
        pytest.skip("torchaudio is not installed")
    waves = [programme(rate, seconds, place) for place, seconds in enumerate(lasting)]
    expected = [float(functional.loudness(torch.from_numpy(wave), rate)) for wave in waves]
    np.testing.assert_allclose(lufs(ofs.pad(waves, rate=rate)), expected, atol=0.1)


@pytest.mark.parametrize(
    ("rate", "tolerance"), [(8_000, 0.21), (16_000, 0.05), (44_100, 0.01), (48_000, 0.01), (96_000, 0.01)]
)
def test_tone_of_full_scale(rate: int, tolerance: float) -> None:
    """A tone of 997 Hz at 0 dB in one channel has -3.01 LUFS; low rates bend the filters, as in other programs."""
    tone = torch.sin(2 * torch.pi * 997 / rate * torch.arange(2 * rate, dtype=torch.float64))
    assert lufs(ofs.pad([tone], rate=rate))[0] == pytest.approx(-3.01, abs=tolerance)
    assert lufs(ofs.pad([torch.stack([tone, tone])], rate=rate))[0] == pytest.approx(0.0, abs=tolerance)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_items_come_to_their_level(requires_grad: bool) -> None:
    """Measured again after the change, with another program."""
    waves = [programme(48_000, seconds, place) for place, seconds in enumerate((3.0, 1.0, 0.2))]
    batch = ofs.pad(waves, rate=48_000, ids=[1, 2, 3])
    step = LoudnessNormalize()
    out = step(batch._replace(data=batch.data.requires_grad_(requires_grad)))
    for found, target in zip(out.unpad(), step.draw(batch.ids)["loudness_lufs"].tolist(), strict=True):
        assert measured(found.detach().numpy(), STANDARD, 48_000) == pytest.approx(target, abs=0.01)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("channels", [None, 2])
def test_peaks_and_powers(channels: int | None, requires_grad: bool) -> None:
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(0)
    sizes = (700, 40, 2, 1)
    waves = [draws.standard_normal((*lead, size)) * 10**-place for place, size in enumerate(sizes)]
    batch = ofs.pad(waves, rate=1.0, ids=[4, 3, 2, 1])
    data = torch.where(batch.mask().unflatten(0, (4, *[1] * len(lead))), batch.data, float("nan"))
    batch = batch._replace(data=data.requires_grad_(requires_grad))
    peak, rms = PeakNormalize(peak_db=(-20.0, 3.0)), RMSNormalize()
    for step, name, level in (
        (peak, "peak_db", lambda wave: np.abs(wave).max()),
        (rms, "rms_db", lambda wave: np.sqrt((wave**2).mean())),
    ):
        for wave, found, target in zip(waves, step(batch).unpad(), step.draw(batch.ids)[name].tolist(), strict=True):
            expected = wave / level(wave) * 10 ** (target / 20)
            np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("step", [PeakNormalize(), RMSNormalize(), LoudnessNormalize()])
def test_silence_stays_silence(step: torch.nn.Module) -> None:
    """One silent item among others, and for loudness one that lies below the gate throughout."""
    quiet = 1e-5 * torch.randn(8_000, generator=torch.Generator().manual_seed(0))
    batch = ofs.pad([torch.zeros(9_000), quiet, torch.zeros(0), torch.zeros(50)], rate=16_000, ids=range(4))
    for data in (batch.data, batch.data.clone().requires_grad_()):
        out = step(batch._replace(data=data)).data
        assert not out[[0, 2, 3]].any()
        assert torch.equal(out[1], batch.data[1]) == isinstance(step, LoudnessNormalize)


def test_levels_are_drawn_evenly() -> None:
    ids = torch.arange(5_000)
    for step, name, low, high in (
        (PeakNormalize(peak_db=(-20.0, 0.0)), "peak_db", -20.0, 0.0),
        (RMSNormalize(), "rms_db", -30.0, -15.0),
        (LoudnessNormalize(), "loudness_lufs", -31.0, -13.0),
    ):
        assert stats.kstest(step.draw(ids)[name].numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"LoudnessNormalize: expected a batch that knows its rate"):
        LoudnessNormalize()(torch.zeros(10))
    with pytest.raises(ValueError, match=r"RMSNormalize: expected rms_db as \(low, high\) with low <= high"):
        RMSNormalize(rms_db=(-10.0, -20.0))
    with pytest.raises(TypeError, match=r"PeakNormalize: expected peak_db to be a number or a pair"):
        PeakNormalize(peak_db="0")
