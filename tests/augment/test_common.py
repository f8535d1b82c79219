"""What all random steps share: options, tables, ids, eval mode, bare Tensors."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable

import pytest
import torch

import ontheflyspec as ofs
from families.noise import bank
from ontheflyspec.augment import (
    VTLP,
    AddBackgroundNoise,
    AddColoredNoise,
    AdjustDuration,
    ApplyImpulseResponse,
    Babble,
    BandPass,
    BandStop,
    BitCrush,
    ChunkSwap,
    Clip,
    CutMix,
    Fade,
    FilterAugment,
    FrequencyShift,
    Gain,
    GainTransition,
    HighPass,
    HighShelf,
    LoudnessNormalize,
    LowPass,
    LowShelf,
    MixUp,
    MuLaw,
    PeakingEQ,
    PeakNormalize,
    PitchShift,
    PolarityInversion,
    PreEmphasis,
    RandomCrop,
    RMSNormalize,
    SevenBandEQ,
    ShortNoises,
    SimulateRoom,
    SpecAugment,
    SpecCutout,
    Speed,
    TanhDistortion,
    Telephone,
    TimeInversion,
    TimeMask,
    TimeShift,
    TimeStretch,
    TrimSilence,
)
from ontheflyspec.augment.base import Augment
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.masks import scale_items

RATE = 1_000.0
MAKERS: list[Callable[..., Augment]] = [Gain, PolarityInversion, AddColoredNoise, TimeShift, SpecAugment]
RECORDED = functools.partial(bank, rate=RATE)
MAKERS += [
    functools.partial(AddBackgroundNoise, RECORDED(20, 300)),
    functools.partial(Babble, RECORDED(20, 300, 9)),
    functools.partial(ApplyImpulseResponse, RECORDED(20, 300)),
    functools.partial(ShortNoises, RECORDED(20, 300), gap_s=(0.0, 0.03)),
    SimulateRoom,
]
MAKERS += [LowPass, HighPass, BandPass, BandStop, PeakingEQ, LowShelf, HighShelf, SevenBandEQ]
MAKERS += [functools.partial(PreEmphasis, coefficient=(0.5, 1.0)), functools.partial(MuLaw, mu=(15.0, 255.0))]
MAKERS += [functools.partial(Telephone, low_hz=(200.0, 400.0), high_hz=(450.0, 480.0))]
MAKERS += [Clip, TanhDistortion, BitCrush, GainTransition, RMSNormalize, LoudnessNormalize, Fade]
MAKERS += [functools.partial(PeakNormalize, peak_db=(-6.0, 0.0))]
MAKERS += [FrequencyShift, VTLP, FilterAugment, SpecCutout, MixUp, CutMix]
MAKERS += [
    PitchShift,
    TimeStretch,
    Speed,
    TimeMask,
    TimeInversion,
    ChunkSwap,
    functools.partial(RandomCrop, seconds=0.03),
    functools.partial(AdjustDuration, seconds=0.06),
    functools.partial(TrimSilence, frame_length=16, hop_length=5, top_db=3.0),
]
DRAWLESS = (PolarityInversion, TimeInversion, MAKERS[-1])
"""They draw nothing but which items they change."""


def batch_for(step: Augment, count: int = 6) -> PaddedBatch:
    draws = torch.Generator().manual_seed(1)
    lead = () if step.item_rank == 1 else (5,)
    items = [torch.randn(*lead, 40 + 13 * place, generator=draws) for place in range(count)]
    return ofs.pad(items, rate=RATE, ids=torch.arange(count) * 77 - 100)


@pytest.mark.parametrize("make", MAKERS)
def test_p_is_the_share_of_changed_items(make: Callable[..., Augment]) -> None:
    """Five sigma around 0.3 of 20 000 ids; 0 and 1 are certain."""
    ids = torch.arange(20_000)
    active = make(p=0.3).draw(ids)["active"]
    assert active.dtype == torch.bool
    assert abs(float(active.double().mean()) - 0.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5
    assert not make(p=0.0).draw(ids)["active"].any()
    assert make(p=1.0).draw(ids)["active"].all()


@pytest.mark.parametrize("make", MAKERS)
def test_inactive_items_keep_their_bits(make: Callable[..., Augment]) -> None:
    """Negative zero, too."""
    step = make(p=0.5, seed=3)
    batch = batch_for(step, 12)
    batch.data[..., 3] = -0.0
    active = step.draw(batch.ids)["active"]
    assert 0 < int(active.sum()) < 12
    out = step(batch).data
    for found, wave in zip(
        out[~active], [one for one, on in zip(batch.unpad(), active, strict=True) if not on], strict=True
    ):
        assert torch.equal(found[..., : wave.shape[-1]].view(torch.int32), wave.view(torch.int32))
        assert not found[..., wave.shape[-1] :].any()


@pytest.mark.parametrize("make", MAKERS)
def test_table_replays_on_any_batch(make: Callable[..., Augment]) -> None:
    """Tables know nothing of lengths: what was drawn for one batch works on another, through JSON."""
    step = make(p=0.8)
    batch = batch_for(step)
    table = step.draw(batch.ids)
    assert all(len(values) == len(batch.lengths) for values in table.values())
    lists = json.loads(json.dumps({name: values.tolist() for name, values in table.items()}))
    assert torch.equal(step.replay(batch, lists).data, step(batch).data)
    short = ofs.pad([item[..., :30] for item in batch.unpad()], rate=RATE, ids=batch.ids)
    assert torch.equal(step.replay(short, lists).data, step(short).data)
    assert torch.equal(step.eval().replay(batch, table).data, step.train()(batch).data)


@pytest.mark.parametrize("make", MAKERS)
def test_paths_agree(make: Callable[..., Augment]) -> None:
    """What runs item by item on the CPU equals what runs where gradients are asked for."""
    step = make()
    batch = batch_for(step)
    plain = step(batch).data
    traced = step(batch._replace(data=batch.data.clone().requires_grad_())).data
    assert traced.requires_grad
    assert torch.allclose(traced, plain, rtol=0, atol=1e-5 * float(plain.abs().max()))


@pytest.mark.parametrize("make", MAKERS)
def test_channels_share_one_draw(make: Callable[..., Augment]) -> None:
    step = make()
    batch = batch_for(step)
    twice = batch._replace(data=torch.stack([batch.data, batch.data], 1))
    out = step(twice).data
    if make is AddColoredNoise:
        assert not torch.equal(out[:, 0], out[:, 1])
    else:
        assert torch.equal(out[:, 0], out[:, 1])
        # Two take levels between samples, closer ones where all are there twice; loudness adds up channels.
        if make not in (Clip, TanhDistortion, LoudnessNormalize):
            assert torch.allclose(out[:, 0], step(batch).data, rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_ids_none_follow_manual_seed(make: Callable[..., Augment]) -> None:
    step = make()
    batch = batch_for(step)._replace(ids=None)
    torch.manual_seed(5)
    first, second = step(batch).data, step(batch).data
    torch.manual_seed(5)
    assert torch.equal(step(batch).data, first)
    if make not in DRAWLESS:
        assert not torch.equal(first, second)


@pytest.mark.parametrize("make", [Gain, PolarityInversion, AddColoredNoise])
def test_bare_tensor_is_full_items(make: Callable[..., Augment]) -> None:
    step, data = make(), torch.randn(3, 2, 50)
    torch.manual_seed(2)
    out = step(data)
    torch.manual_seed(2)
    full = PaddedBatch(data, torch.full((3,), 50), RATE)
    assert torch.equal(step(full).data, out)
    assert step(data[0, 0]).shape == (50,)


@pytest.mark.parametrize("make", MAKERS)
def test_tuple_keeps_the_rest(make: Callable[..., Augment]) -> None:
    step = make()
    if step.mixes_items:
        pytest.skip("mixes labels as well, see tests/test_targets.py")
    batch = batch_for(step)
    out, label = step((batch, "label"))
    assert label == "label"
    assert torch.equal(out.data, step(batch).data)
    assert out.ids is batch.ids


def test_int16_is_a_fraction_in_both_modes() -> None:
    """The type that comes out does not depend on the mode."""
    batch = PaddedBatch(torch.tensor([[16_384, -32_768]], dtype=torch.int16), torch.tensor([2]), RATE)
    for step in (Gain(gain_db=0.0), Gain().eval(), ofs.OneOf([Gain(gain_db=0.0)]), ofs.OneOf([Gain()]).eval()):
        assert step(batch).data.tolist() == [[0.5, -1.0]]


def test_module_apply_still_walks() -> None:
    """Models call ``apply(function)`` on all their modules."""
    seen = []
    model = torch.nn.Sequential(ofs.Compose([Gain(), ofs.OneOf([PolarityInversion()])]), torch.nn.Identity())
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == [
        "Gain",
        "PolarityInversion",
        "ModuleList",
        "OneOf",
        "ModuleList",
        "Compose",
        "Identity",
        "Sequential",
    ]


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"Gain: expected p to be a finite number between 0 and 1, got 1\.5\."):
        Gain(p=1.5)
    with pytest.raises(TypeError, match=r"TimeShift: expected seed to be an integer.*got 0\.5\."):
        TimeShift(seed=0.5)
    with pytest.raises(ValueError, match=r"Gain: expected gain_db as \(low, high\) with low <= high"):
        Gain(gain_db=(6.0, -6.0))
    with pytest.raises(TypeError, match=r"Gain: expected data of type int16.*got int64\."):
        Gain()(torch.zeros(4, dtype=torch.int64))
    with pytest.raises(
        ValueError, match=r"Gain: expected data of shape \[T\], \[B, T\] or \[B, C, T\], got \[1, 1, 1, 4\]"
    ):
        Gain()(torch.zeros(1, 1, 1, 4))
    with pytest.raises(ValueError, match=r"SpecAugment: expected data of shape \[F, N\].*got \[4\]\."):
        SpecAugment()(torch.zeros(4))


def test_a_table_of_a_draw_of_ones_own_goes_through_json() -> None:
    """Its columns need not be declared in ranges."""

    class Own(ofs.Augment):
        def draw(self, items, key=None):
            table = super().draw(items, key)
            if not isinstance(items, ofs.PaddedBatch):
                table["factor"] = torch.arange(1.0, 1 + len(table["active"]))
            return table

        def plan(self, info, params):
            return info.edit(scale_items, None, factors=params["factor"])

    batch, step = ofs.pad([torch.ones(3), torch.ones(4)], rate=8), Own()
    again = step.replay(batch, json.loads(json.dumps(step.draw(batch))))
    assert again.data.tolist() == step(batch).data.tolist() == [[1, 1, 1, 0], [2, 2, 2, 2]]
