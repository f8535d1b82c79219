"""What every case costs on the pretend accelerator: kernels, copies from the host and bytes; fails when one grows.

``python tests/test_budgets.py`` writes what they cost today into budgets.json; with ``--table`` it prints rows of the
table in docs/performance.md. The limits below are promises.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ontheflyspec as ofs
import pretend
from case import Case, build
from laws import Example
from ontheflyspec.batch import PaddedBatch
from registry import CASES

FILE = Path(__file__).with_name("budgets.json")
KNOWN: dict[str, list[int]] = json.loads(FILE.read_text()) if FILE.exists() else {}
SPEC = Example((160, 0, 1, 33, 128), spare=3)
NOISE = 140
"""Kernels of random numbers by counter."""
LIMITS = {
    "STFT-(complex|magnitude|power|phase)|STFT-(constant|uncentred|odd|gaps|short)|MelSpectrogram|Compose-log-mel$": 30,
    "MFCC": 45,
    "CQT-(octaves|direct)|VQT": 45,
    "Gain|TimeShift|RandomCrop|AdjustDuration|Fade|MuLaw|TimeMask$|MixUp|PolarityInversion|BitCrush|SpecAugment": 25,
    "LowPass|HighPass|BandPass|BandStop|PeakingEQ|LowShelf|HighShelf|SevenBandEQ|Telephone$": 30,
    "Normalize|RMSNormalize|PeakNormalize|LoudnessNormalize|TanhDistortion|AddBackgroundNoise(?!-steps)": 60,
    "ApplyImpulseResponse": 60,
    "AddBackgroundNoise-steps": 60 + 30,  # the noise, and its filter
    "SimulateRoom": 60 + NOISE,
    "ShortNoises|Babble|SpecCutout": 90,
    "AddColoredNoise": 190,
    "Compose-front-end": 250,
}
"""Kernels at most, by the beginning of names; all take one copy, nested chains and choices, too."""
WARPS = "SpecAugment-warp"
"""More than the masks of its class: it moves frames, too."""


def cost(module: torch.nn.Module, batch: PaddedBatch) -> pretend.Counts:
    """Returns what a call costs once its constants are on the device."""
    there, sent = pretend.send(copy.deepcopy(module)), batch._replace(data=pretend.send(batch.data))
    with torch.no_grad(), pretend.session():
        there(sent)
        with pretend.counted() as counts:
            there(sent)
    return counts


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_grows(case: Case) -> None:
    found = cost(build(case), SPEC.batch(case))
    assert case.name in KNOWN, "run python tests/test_budgets.py, and look at its change"
    kernels, copies, moved = KNOWN[case.name]
    assert found.kernels <= kernels
    assert found.copies <= copies
    assert found.bytes <= 1.01 * moved


COPIES = {"AddBackgroundNoise-steps": 3}
"""Most copies to the device where they are not one: the noise goes through a chain of its own."""


def test_limits_hold() -> None:
    over = {}
    for name, (kernels, copies, _) in KNOWN.items():
        if name == WARPS:
            continue
        for pattern, limit in LIMITS.items():
            if copies > COPIES.get(name, 1) or (re.match(pattern, name) and kernels > limit):
                over[name] = kernels, copies
    assert over == {}
    for pattern in LIMITS:
        assert any(re.match(pattern, name) for name in KNOWN), pattern


def ragged(items: int, seconds: float, rate: int) -> PaddedBatch:
    """Waves of unlike length."""
    size = int(rate * seconds)
    waves = [torch.full((size - place * (size // (4 * items)),), 0.1) for place in range(items)]
    return ofs.pad(waves, rate=rate, ids=list(range(items)))


def log_mel(rate: int, n_fft: int, hop: int, n_mels: int) -> ofs.Compose:
    mel = ofs.MelSpectrogram(sample_rate=rate, n_fft=n_fft, hop_length=hop, n_mels=n_mels)
    return ofs.Compose([mel, ofs.AmplitudeToDB()])


def test_a_log_mel_moves_few_bytes() -> None:
    """32 clips of up to 10 s: 20 MB of samples, 10 MB of features."""
    found = cost(log_mel(16_000, 400, 160, 80), ragged(32, 10.0, 16_000))
    assert (found.kernels <= 30, found.copies) == (True, 1)
    assert found.bytes <= 650e6


def test_a_constant_q_transform_of_seven_octaves() -> None:
    found = cost(ofs.CQT(sample_rate=22_050, output="magnitude"), ragged(2, 1.0, 22_050))
    assert (found.kernels <= 45, found.copies) == (True, 1)


CHAINS: dict[str, Any] = {
    "log-mel": lambda: log_mel(8_000, 64, 16, 6),
    "Speed": ofs.augment.Speed,
    "PitchShift": ofs.augment.PitchShift,
    "SimulateRoom": lambda: ofs.augment.SimulateRoom(rt60_s=(0.01, 0.02)),
    "AddColoredNoise": ofs.augment.AddColoredNoise,
    "ShortNoises": lambda: ofs.augment.ShortNoises(ofs.WaveformBank([torch.ones(900)], rate=8_000)),
    "SpecAugment": lambda: ofs.Compose([*log_mel(8_000, 64, 16, 6).steps, ofs.augment.SpecAugment(time_mask_param=2)]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_batch_costs_as_many_kernels_whatever_its_size(name: str) -> None:
    few, many = (cost(CHAINS[name](), ragged(items, 0.2, 8_000)) for items in (2, 7))
    assert few.kernels == many.kernels
    assert few.copies == many.copies == 1


def test_kernels_views_and_copies_are_told_apart() -> None:
    x, host = pretend.send(torch.ones(4, 100)), torch.ones(4)
    with pretend.session(), pretend.counted() as counts:
        y = x[:, ::2].unsqueeze(0)
        y = y + 1
        y.masked_fill(y > 0, 2.0)
        host.to(y.device, non_blocking=True)
        torch.empty(3, device=y.device)
    assert (counts.kernels, counts.views, counts.copies, counts.sent) == (4, 2, 1, 16)
    assert counts.bytes == 2 * 800 + (800 + 200) + (800 + 200 + 2 * 800)
    assert counts.host_us == pytest.approx(4 * 4.5 + 2 * 1.2 + 8)


def modelled(name: str, step: Any, batch: PaddedBatch) -> str:
    """Returns a row of the table in docs/performance.md: in plain operations, and by CUDA's kernels."""
    from programs import kernels_of_cuda

    plain = cost(step, batch)
    with kernels_of_cuda():
        fused = cost(step, batch)
    floor = (batch.data.nbytes + build_output(step, batch).nbytes) / 3.0e6
    cells = [name, floor, plain.flop / 1e6]
    for one in (plain, fused):
        cells += [one.kernels, one.copies, one.bytes / 1e6, max(one.host_us, one.device_us)]
    return "| " + " | ".join(cell if isinstance(cell, str) else f"{cell:.0f}" for cell in cells) + " |"


def build_output(step: Any, batch: PaddedBatch) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = step(batch).data
    return result


def table() -> Iterator[str]:
    """Yields the rows for batches of 32 clips of up to 10 s."""
    low, high = ragged(32, 10.0, 16_000), ragged(32, 10.0, 22_050)
    bank = ofs.WaveformBank([torch.rand(80_000) - 0.5 for _ in range(8)], rate=16_000)
    mel = log_mel(16_000, 400, 160, 80)
    noise, masks = ofs.augment.AddColoredNoise(p=0.5), ofs.augment.SpecAugment(time_mask_param=20, freq_mask_param=10)
    yield modelled("the README's chain", ofs.Compose([noise, *mel.steps, masks]), low)
    yield modelled("log-mel + dB 400/160/80", mel, low)
    yield modelled("log-mel + dB 1024/256/80, 22.05 kHz", log_mel(22_050, 1_024, 256, 80), high)
    yield modelled("log-mel + dB 2048/512/128, 22.05 kHz", log_mel(22_050, 2_048, 512, 128), high)
    options: dict[str, Any] = {"sample_rate": 16_000, "n_fft": 400, "hop_length": 160}
    for name in ("STFT", "MelSpectrogram", "MFCC", "LFCC", "BarkSpectrogram", "Gammatonegram", "SpectralDescriptors"):
        yield modelled(name, getattr(ofs, name)(**options), low)
    for name in ("CQT", "VQT", "HarmonicCQT", "CFP", "Chroma", "Tonnetz"):
        yield modelled(f"{name}, 22.05 kHz", getattr(ofs, name)(sample_rate=22_050), high)
    yield modelled("Resample to 16 kHz", ofs.Resample(sample_rate=22_050, new_sample_rate=16_000), high)
    features = mel(low)
    for name in ("AmplitudeToDB", "Log", "Normalize", "Deltas"):
        yield modelled(f"{name} of features", getattr(ofs, name)(), features)
    yield modelled("PCEN of features", ofs.PCEN(sample_rate=16_000, hop_length=160), features)
    special: dict[str, Any] = {"RandomCrop": {"seconds": 5.0}, "AdjustDuration": {"seconds": 8.0}}
    for name in ofs.augment.__all__:
        kind = getattr(ofs.augment, name)
        try:
            banked = name in ("AddBackgroundNoise", "ApplyImpulseResponse", "Babble", "ShortNoises")
            step = kind(bank) if banked else kind(**special.get(name, {}))
        except TypeError:  # no augmentation, or one that needs to know more
            continue
        if hasattr(step, "plan") and not name.startswith("Channel"):
            yield modelled(f"augment.{name}", step, features if step.item_rank == 2 else low)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        for line in table():
            print(line, flush=True)
    else:
        costs = {case.name: cost(build(case), SPEC.batch(case)) for case in CASES}
        counts = {name: [one.kernels, one.copies, one.bytes] for name, one in costs.items()}
        FILE.write_text("{\n" + ",\n".join(f'  "{name}": {row}' for name, row in counts.items()) + "\n}\n")
