"""A kernel for another kind of device is one new file in the folder of kernels: here for the pretend accelerator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ontheflyspec as ofs
import pretend
from ontheflyspec import kernels
from ontheflyspec import op as module
from ontheflyspec.op import OPS
from pretend import DEVICE, Pretend

RATE = 8_000
FILE = '''
"""Kernels for the pretend accelerator."""

from ontheflyspec.functional.masks import scale_items
from ontheflyspec.pipeline import frame_features

CALLS = []


@scale_items.kernel("lazy")
def scale_there(data, lengths, **options):
    CALLS.append("scale_items")
    return scale_items.reference(data, lengths, **options)


@frame_features.kernel("lazy")
def features_there(data, lengths, frames, pipelines):
    CALLS.append("frame_features " + " ".join(node.op.name for node in pipelines[0].nodes))
    return frame_features.reference(data, lengths, frames, pipelines)
'''


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the kernels of a file that was added to the folder did."""
    (tmp_path / "lazily.py").write_text(FILE)
    monkeypatch.setattr(kernels, "__path__", [*kernels.__path__, str(tmp_path)])
    monkeypatch.setattr(module, "PLAIN", {*module.PLAIN, Pretend})
    before = {op.name: dict(op.kernels) for op in OPS}
    kernels.load()
    yield sys.modules.pop("ontheflyspec.kernels.lazily").CALLS  # type: ignore[attr-defined]
    for op in OPS:
        op.kernels = before[op.name]


@pytest.fixture
def batch() -> ofs.PaddedBatch:
    return ofs.pad([torch.randn(n) for n in (900, 0, 1, 400)], rate=RATE, ids=[3, 1, 4, 5])


def on_device(step: Any, batch: ofs.PaddedBatch) -> torch.Tensor:
    """Returns what a step makes of a batch whose samples lie on the accelerator."""
    with pretend.session():
        out = pretend.send(step)(batch._replace(data=pretend.send(batch.data)))
    assert out.data.device == DEVICE
    result: torch.Tensor = pretend.fetch(out.data)
    return result


def test_an_operation_is_done_by_a_new_kernel(calls: list[str], batch: ofs.PaddedBatch) -> None:
    step = ofs.augment.Gain(gain_db=(-6.0, 6.0))
    assert torch.allclose(on_device(step, batch), step(batch).data)
    assert calls == ["scale_items"]


def test_a_pipeline_is_done_by_a_new_kernel(calls: list[str], batch: ofs.PaddedBatch) -> None:
    """With all that a chain can do frame by frame, so that a kernel may fuse it."""
    mel = ofs.MelSpectrogram(sample_rate=RATE, n_fft=128, hop_length=40, n_mels=8)
    chain = ofs.Compose([mel, ofs.AmplitudeToDB()])
    expected = chain(batch).data
    assert torch.allclose(on_device(chain, batch), expected, atol=1e-4)
    assert calls == ["frame_features filtered decibels"]


def test_other_devices_do_without(calls: list[str], batch: ofs.PaddedBatch) -> None:
    ofs.augment.Gain(gain_db=3.0)(batch)
    assert calls == []


def test_a_watched_tensor_is_left_to_the_reference(calls: list[str], batch: ofs.PaddedBatch) -> None:
    """Kernels write into memory of their own: nothing that asks for gradients comes to them."""
    step = ofs.augment.Gain(gain_db=3.0)
    with pretend.session():
        data = pretend.send(batch.data).requires_grad_()
        step(batch._replace(data=data))
    assert calls == []
