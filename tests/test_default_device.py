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


BANKED = ("AddBackgroundNoise", "ApplyImpulseResponse", "Babble", "ShortNoises", "Compose-log-normalized")
BUILT = [case for case in CASES if not case.name.startswith(BANKED)]


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case.name)
def test_built_without_memory(case: Case) -> None:
    """On the meta device nothing can be used; once there is memory, constants and first parameters are as ever."""
    batch = Example((160, 33), seed=0).batch(case)
    with torch.device("meta"):
        module = case.make()
    tensors = [*module.buffers(), *module.parameters()]
    assert all(value.device.type == "meta" for value in tensors)
    if tensors and case.name != "Resample-8000-8000":  # which needs none
        with pytest.raises((RuntimeError, NotImplementedError), match=r"(?i)meta"):
            module(batch)
    with torch.no_grad():
        for made in (module.to_empty(device="cpu"), case.make().to("meta").to_empty(device="cpu")):
            assert torch.equal(made(batch).data, case.make()(batch).data)


def test_parameters_of_a_checkpoint_count_after_to_empty() -> None:
    options = {"sample_rate": 8_000, "n_fft": 64, "n_mels": 6, "trainable": True}
    trained = ofs.MelSpectrogram(**options)
    with torch.no_grad():
        trained.filterbank.mul_(2.0)
    with torch.device("meta"):
        loaded = ofs.MelSpectrogram(**options)
    loaded.to_empty(device="cpu").load_state_dict(trained.state_dict())
    wave = torch.randn(1, 400)
    assert torch.equal(loaded(wave), trained(wave))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("case", BUILT, ids=lambda case: case.name)
def test_torch_s_default_type_changes_nothing(case: Case, kind: torch.dtype) -> None:
    """Neither constants nor values, on either path."""
    batch, plain = Example((160, 33), seed=0).batch(case), case.make()
    watched = batch._replace(data=batch.data.clone().requires_grad_())
    expected = [plain(given).data for given in (batch, watched)]
    torch.set_default_dtype(kind)
    try:
        step = case.make()
        found = [step(given).data for given in (batch, watched)]
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
