"""Constant-Q transforms by CUDA's kernels: against the reference, in Triton's interpreter; and what they cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ontheflyspec as ofs
import pretend
from programs import RATE, by_kernels, close, interpret, kernels_of_cuda, needs_triton, reference, waves
from test_budgets import cost, ragged

OPTIONS: dict[str, Any] = {"sample_rate": RATE, "fmin": 300.0, "n_bins": 36, "hop_length": 128}
STEPS: dict[str, Any] = {
    "three octaves and more": lambda output: ofs.CQT(**OPTIONS, output=output),
    "reflection": lambda output: ofs.CQT(**OPTIONS, pad_mode="reflect", output=output),
    "frames between samples": lambda output: ofs.CQT(**{**OPTIONS, "hop_length": 50}, output=output),
    "directly": lambda output: ofs.CQT(**OPTIONS, method="direct", output=output),
    "variable Q": lambda output: ofs.VQT(**OPTIONS, gamma=20.0, output=output),
}
LEAST = 1e-7  # rounding of samples near 1: a clip of one sample, reflected, is constant, and its bands nearly 0


@needs_triton
@pytest.mark.parametrize("name", STEPS)
def test_magnitudes(name: str) -> None:
    step, batch = STEPS[name]("magnitude"), waves()
    close(by_kernels(step, batch), reference(step, batch), step.output_lengths(batch.lengths), 1e-4, LEAST)


@needs_triton
@pytest.mark.parametrize("output", ["complex", "power"])
def test_other_forms_of_integers_in_stereo(output: str) -> None:
    step, batch = STEPS["three octaves and more"](output), waves(2, int16=True)
    close(by_kernels(step, batch), reference(step, batch), step.output_lengths(batch.lengths), 1e-4, LEAST)


@needs_triton
def test_a_tensor() -> None:
    step, data = STEPS["reflection"]("magnitude"), torch.randn(2, 900)
    with torch.no_grad(), pretend.session(), kernels_of_cuda(interpret):
        found = pretend.fetch(pretend.send(STEPS["reflection"]("magnitude"))(pretend.send(data)))
    close(found, step(data), torch.full((2,), found.shape[-1]), 1e-4, LEAST)


def test_seven_octaves_are_few_launches() -> None:
    with kernels_of_cuda():
        found = cost(ofs.CQT(sample_rate=22_050, output="magnitude"), ragged(32, 10.0, 22_050))
    assert found.kernels <= 12
    assert found.copies == 1
    assert max(found.host_us, found.device_us) <= 100
