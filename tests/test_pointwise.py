"""Pointwise steps that a spectrogram does on its output while that is in the cache: nobody can tell."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import ontheflyspec as ofs
from ontheflyspec.functional.decibels import decibels

STFT = {"sample_rate": 8_000, "n_fft": 64, "hop_length": 16}
FIRST = {
    "mel": lambda: ofs.MelSpectrogram(**STFT, n_mels=6),
    "power": lambda: ofs.STFT(**STFT, output="power"),
    "magnitude": lambda: ofs.STFT(**STFT, output="magnitude"),
    "phase": lambda: ofs.STFT(**STFT, output="phase"),
    "conv": lambda: ofs.MelSpectrogram(**STFT, n_mels=6, backend="conv"),
}
REST = {
    "db": lambda _: [ofs.AmplitudeToDB(ref=0.3, amin=1e-5)],
    "db magnitude": lambda _: [ofs.AmplitudeToDB(stype="magnitude")],
    "top_db": lambda _: [ofs.AmplitudeToDB(top_db=20.0), ofs.Log()],
    "ref max": lambda _: [ofs.Log(), ofs.AmplitudeToDB(ref="max")],
    "log, global": lambda bands: [
        ofs.Log(floor=1e-3),
        ofs.Normalize(per="global", mean=[0.1] * bands, std=[2.0] * bands),
    ],
    "one mean": lambda _: [ofs.Normalize(per="global", mean=0.5, std=0.0, eps=0.0), ofs.Log()],
    "per item": lambda _: [ofs.Log(), ofs.Normalize(), ofs.Log()],
    "then random": lambda _: [ofs.Log(), ofs.augment.SpecAugment(seed=1)],
}


@pytest.fixture(params=[torch.float32, torch.float64, torch.int16], ids=str, scope="module")
def batch(request):
    torch.manual_seed(0)
    waves = [torch.randn(n) for n in (900, 0, 1, 40, 3000)]
    if request.param == torch.int16:
        return ofs.pad([(3000 * wave).short() for wave in waves], rate=8_000, ids=range(5))
    return ofs.pad([wave.to(request.param) for wave in waves], rate=8_000, ids=range(5))


def one_by_one(chain, batch):
    table = chain.draw(batch)
    for place, step in enumerate(chain.steps):
        batch = step.replay(batch, table[str(place)]) if str(place) in table else step(batch)
    return batch


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("rest", REST)
def test_a_chain_equals_its_steps_one_by_one(batch, first, rest):
    front = FIRST[first]()
    chain = ofs.Compose([front, *REST[rest](front.n_features)])
    together, apart = chain(batch), one_by_one(chain, batch)
    assert torch.equal(together.data, apart.data)
    assert torch.equal(together.lengths, apart.lengths)
    assert together.rate == apart.rate
    wave = batch.data[4]
    if rest != "then random":
        assert torch.equal(
            chain(wave), one_by_one(chain, ofs.PaddedBatch(wave[None], torch.tensor([3000]), 8_000)).data[0]
        )


def test_pointwise_steps_are_done_at_once(batch, monkeypatch):
    """In blocks, in the cache; a convolution gives its frames all together, so that they go item by item after it."""

    def by_rows(*_, **__):
        raise TypeError("by rows")

    monkeypatch.setitem(decibels.kernels, "rows", by_rows)
    ofs.Compose([FIRST["mel"](), ofs.AmplitudeToDB()])(batch)
    with pytest.raises(TypeError, match="by rows"):
        ofs.Compose([FIRST["conv"](), ofs.AmplitudeToDB()])(batch)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("pre", [True, False])
def test_hooks_see_every_step(batch, place, pre):
    chain = ofs.Compose([FIRST["mel"](), ofs.AmplitudeToDB()])
    wanted, seen = chain(batch).data, []
    step = chain.steps[place]
    if pre:
        step.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].data.dtype))
    else:
        step.register_forward_hook(lambda _, __, out: seen.append(out.data.amin() < 0))
    assert torch.equal(chain(batch).data, wanted)
    assert len(seen) == 1
    if not pre:
        assert bool(seen[0]) == (place == 1)


def test_hooks_on_all_modules_see_every_step(batch):
    chain, seen = ofs.Compose([FIRST["mel"](), ofs.AmplitudeToDB()]), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, _, __: seen.append(type(module).__name__))
    chain(batch)
    handle.remove()
    assert seen == ["MelSpectrogram", "AmplitudeToDB", "Compose"]


def test_steps_that_do_not_fit_are_named(batch):
    two_bands = ofs.Normalize(per="global", mean=[0.0, 0.0], std=[1.0, 1.0])
    with pytest.raises(ValueError, match=r"^Compose step 1: Normalize: expected features of 2 bands.*, got 6\."):
        ofs.Compose([FIRST["mel"](), two_bands])(batch)
    with pytest.raises(ValueError, match=r"Compose step 2.*mean and std"):
        ofs.Compose([FIRST["mel"](), ofs.Log(), ofs.Normalize(per="global")])(batch)


def test_what_comes_out_can_be_learned_from():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        out = ofs.Compose([FIRST["mel"](), ofs.Log(), ofs.Normalize()])(torch.randn(4, 200_000))
    finally:
        torch.set_num_threads(before)
    assert not out.is_inference()
    layer = nn.Linear(6, 1)
    layer(out.transpose(1, 2)).sum().backward()
    assert layer.weight.grad is not None
