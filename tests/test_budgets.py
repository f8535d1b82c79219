"""What every case costs on the pretend accelerator: kernels, copies from the host and bytes; fails when one grows.

``python tests/test_budgets.py`` writes what they cost today into budgets.json. The limits below are promises.
"""

from __future__ import annotations

import copy
import json
import re
import sys
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
    "Normalize|RMSNormalize|PeakNormalize|LoudnessNormalize|TanhDistortion|AddBackgroundNoise|ApplyImpulseResponse": 60,
    "SimulateRoom": 60 + NOISE,
    "ShortNoises|Babble|SpecCutout": 90,
    "AddColoredNoise": 190,
    "Compose-front-end": 250,
}
"""Kernels at most, by the beginning of names; one copy, two of what reads a bank."""
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
    kernels, copies = KNOWN[case.name]
    assert found.kernels <= kernels
    assert found.copies <= copies


def test_limits_hold() -> None:
    over = {}
    for name, (kernels, copies) in KNOWN.items():
        if name == WARPS:
            continue
        for pattern, limit in LIMITS.items():
            if re.match(pattern, name) and (kernels > limit or copies > 1):
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


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    costs = {case.name: cost(build(case), SPEC.batch(case)) for case in CASES}
    rows = {name: [one.kernels, one.copies] for name, one in costs.items()}
    FILE.write_text("{\n" + ",\n".join(f'  "{name}": {row}' for name, row in rows.items()) + "\n}\n")
