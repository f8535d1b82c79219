"""torch's default device is for new models; batches on the host stay there, and nothing reads from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

import ontheflyspec as ofs
from case import Case, build
from laws import Example
from registry import CASES


@pytest.fixture
def elsewhere():
    """A default device whose tensors hold nothing: whatever takes a value from one fails or is wrong."""
    yield lambda: torch.set_default_device("meta")
    torch.set_default_device(None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_steps_work_where_their_batch_is(case: Case, elsewhere) -> None:
    module = build(case)
    batch = Example((160, 40, 97), seed=0).batch(case)
    expected = module(batch)
    elsewhere()
    found = module(batch)
    assert found.data.device.type == "cpu"
    assert torch.equal(found.data, expected.data)
    assert torch.equal(found.lengths, expected.lengths)


def test_loaders_give_batches_on_the_host(tmp_path, elsewhere) -> None:
    for name, n in (("a", 800), ("b", 300), ("c", 500)):
        soundfile.write(tmp_path / f"{name}.wav", np.linspace(-0.5, 0.5, n), 8_000)

    def batches():
        clips = ofs.AudioDataset.from_folder(tmp_path, sample_rate=8_000, max_seconds=0.05)
        sampler = ofs.BucketBatchSampler(clips.lengths, max_samples=800)
        collated = (ofs.collate([clips[draw] for draw in draws]) for draws in sampler)
        return [*ofs.AudioLoader(clips, sampler), *ofs.DeviceLoader(collated, device="cpu")]

    expected = batches()
    elsewhere()
    found = batches()
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.data, other.data)
        assert torch.equal(one.ids, other.ids)
