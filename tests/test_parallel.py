"""Parallel: each feature as by itself, alone and in a batch, and stages of equal frames done once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import laws
import ontheflyspec as ofs
import pretend
from case import MEL, RATE, Case, needs_compiler
from laws import Example
from ontheflyspec.pipeline import frame_features

FRAMES: dict[str, Any] = {"sample_rate": RATE, "n_fft": 64, "hop_length": 16}
OTHER: dict[str, Any] = {**FRAMES, "window": "blackman"}
MAKERS: dict[str, Callable[[], torch.nn.Module]] = {
    "spectrum": lambda: ofs.STFT(**FRAMES),
    "power": lambda: ofs.STFT(**FRAMES, output="power"),
    "phase": lambda: ofs.STFT(**FRAMES, output="phase"),
    "decibels": lambda: ofs.Compose([ofs.STFT(**FRAMES, output="power"), ofs.AmplitudeToDB()]),
    "mel": lambda: ofs.MelSpectrogram(**MEL),
    "log_mel": lambda: ofs.Compose([ofs.MelSpectrogram(**MEL), ofs.AmplitudeToDB(), ofs.Normalize(), ofs.Log()]),
    "mfcc": lambda: ofs.MFCC(**MEL, n_mfcc=4),
    "lfcc": lambda: ofs.LFCC(**FRAMES, n_filter=8, n_lfcc=4),
    "bark": lambda: ofs.BarkSpectrogram(**FRAMES, n_bands=6, power=1.0),
    "chroma": lambda: ofs.Chroma(**FRAMES, pad_mode="reflect"),
    "tonnetz": lambda: ofs.Tonnetz(**FRAMES, source="stft", pad_mode="reflect"),
    "conv": lambda: ofs.MelSpectrogram(**MEL, backend="conv"),
    "other": lambda: ofs.STFT(**OTHER, output="magnitude"),
    "cqt": lambda: ofs.CQT(sample_rate=RATE, hop_length=16, fmin=200.0, n_bins=12, bins_per_octave=3),
    "deltas": lambda: ofs.Compose([ofs.MelSpectrogram(**MEL), ofs.Deltas(width=5)]),
}
BATCH = Example((700, 0, 33, 1), spare=3).batch(Case("wave", ofs.Log))


def features(*left_out: str, **more: torch.nn.Module) -> ofs.Parallel:
    return ofs.Parallel(**{name: make() for name, make in MAKERS.items() if name not in left_out}, **more)


def test_each_feature_is_what_its_transform_gives() -> None:
    together = features()
    out = together(BATCH)
    assert list(out) == list(MAKERS)
    for name, part in together.transforms.items():
        alone = part(BATCH)
        assert torch.equal(out[name].data, alone.data), name
        assert torch.equal(out[name].lengths, alone.lengths)
        assert out[name].rate == alone.rate
        assert torch.equal(out[name].ids, BATCH.ids)
        assert torch.equal(together(BATCH.data)[name], part(BATCH.data)), name
        assert torch.equal(together(BATCH.data[0])[name], part(BATCH.data[0])), name


def test_beside_other_frequencies_bins_agree_within_rounding() -> None:
    together = features(between=ofs.STFT(**FRAMES, freq_scale="log", fmax=3_000.0, output="magnitude"))
    out = together(BATCH)
    for name, part in together.transforms.items():
        if name in ("phase", "mfcc", "lfcc", "decibels", "log_mel"):
            continue
        alone = part(BATCH).data
        assert (out[name].data - alone).abs().max() <= 1e-6 * alone.abs().max(), name


def test_alone_and_padding() -> None:
    together = features("conv")
    out = together(BATCH)
    dirty = together(BATCH._replace(data=laws.fouled(BATCH, float("nan"))))
    for place in range(len(BATCH.lengths)):
        single = together(laws.only(BATCH, place))
        for name, made in out.items():
            steps = int(made.lengths[place])
            assert torch.equal(made.data[place, ..., :steps], single[name].data[0]), name
            assert torch.equal(made.data, dirty[name].data), name


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "with gradients"])
def test_stages_of_equal_frames_are_done_once(monkeypatch: pytest.MonkeyPatch, watched: bool) -> None:
    counts: list[int] = []

    def counting(compute: Callable[..., Any]) -> Callable[..., Any]:
        def counted(data: Tensor, lengths: Any, frames: Any, pipelines: Any) -> Any:
            counts.append(len(pipelines))
            return compute(data, lengths, frames, pipelines)

        return counted

    monkeypatch.setitem(frame_features.kernels, "cpu", counting(frame_features.kernels["cpu"]))
    monkeypatch.setattr(frame_features, "reference", counting(frame_features.reference))
    together = features("conv", "cqt")
    data = BATCH.data.clone().requires_grad_(watched)
    together(BATCH._replace(data=data))
    assert sorted(counts) == [1, len(MAKERS) - 3]


def test_gradients_and_values_on_the_general_path() -> None:
    together = features("phase", "other", between=ofs.STFT(**FRAMES, freq_scale="linear", fmax=3_000.0))
    data = BATCH.data.clone().requires_grad_()
    out = together(BATCH._replace(data=data))
    for name, part in together.transforms.items():
        alone = part(BATCH._replace(data=data))
        gap = (out[name].data - alone.data).abs().max()
        assert gap <= 1e-3 * alone.data.abs().max(), name
    sum(made.data.abs().square().sum() for made in out.values()).backward()
    assert data.grad is not None
    assert torch.isfinite(data.grad).all()
    assert not data.grad[~laws.valid(BATCH)].any()


def test_on_an_accelerator_nothing_waits() -> None:
    together = features()
    expected = together(BATCH)
    with pretend.session():
        out = pretend.send(features())(BATCH._replace(data=pretend.send(BATCH.data)))
    for name, made in out.items():
        if name not in ("phase", "mfcc", "lfcc", "decibels", "log_mel"):
            gap = (pretend.fetch(made.data) - expected[name].data).abs().max()
            assert gap <= 1e-5 * expected[name].data.abs().max(), name


@needs_compiler
def test_compiles_whole() -> None:
    together = features("phase", "conv", "tonnetz", "lfcc", "bark", "decibels", "power", "log_mel", "deltas")
    torch._dynamo.reset()
    out = torch.compile(together, fullgraph=True, backend="aot_eager")(BATCH)
    for name in ("spectrum", "mel", "chroma", "cqt"):
        expected = together(BATCH)[name].data
        assert (out[name].data - expected).abs().max() <= 1e-5 * expected.abs().max(), name


def test_watched_steps_are_called_themselves() -> None:
    together, seen = features(), []
    together.transforms["mel"].register_forward_hook(lambda *_: seen.append("mel"))
    out = together(BATCH)
    assert seen == ["mel"]
    assert torch.equal(out["mel"].data, ofs.MelSpectrogram(**MEL)(BATCH).data)


def test_in_a_chain_a_loader_and_with_targets() -> None:
    together = features()
    gain = ofs.augment.Gain(seed=3)
    out, targets = together((BATCH, "targets"))
    assert targets == "targets"
    assert set(out) == set(MAKERS)
    chain = ofs.Compose([gain, together])
    made = chain(BATCH)
    louder = gain.replay(BATCH, chain.draw(BATCH.ids)["0"])
    assert torch.equal(made["mel"].data, together(louder)["mel"].data)
    torch.manual_seed(0)
    assert all(one.ids is None for one in chain(BATCH._replace(ids=None)).values())


def test_random_parts_draw_by_the_items_ids() -> None:
    masked = ofs.Compose([ofs.MelSpectrogram(**MEL), ofs.augment.SpecAugment(time_mask_param=4)])
    together = ofs.Parallel(masked=masked, plain=ofs.MelSpectrogram(**MEL))
    table = together.draw(BATCH.ids)
    assert torch.equal(together(BATCH)["masked"].data, masked.replay(BATCH, table["masked"]).data)
    assert torch.equal(together.replay(BATCH, table)["masked"].data, together(BATCH)["masked"].data)
    torch.manual_seed(0)
    loose = together(BATCH._replace(ids=None))
    assert loose["masked"].ids is None


def test_tensors_take_the_way_of_batches() -> None:
    """One item and several, with random steps before and inside: one id an item and call for all of them."""
    data = BATCH.data[:2]
    together = ofs.Parallel(
        masked=ofs.Compose([ofs.MelSpectrogram(**MEL), ofs.augment.SpecAugment(time_mask_param=4)]),
        plain=ofs.MelSpectrogram(**MEL),
    )
    full = ofs.PaddedBatch(data, torch.full((2,), data.shape[-1]), RATE)
    for step in (together, ofs.Compose([ofs.augment.Gain(), together])):
        for x, batch in ((data, full), (data[0], full._replace(data=data[:1], lengths=full.lengths[:1]))):
            torch.manual_seed(7)
            out = step(x)
            torch.manual_seed(7)
            expected = step(batch)
            for name, made in out.items():
                assert torch.equal(made.reshape(expected[name].data.shape), expected[name].data), name
                assert made.dim() == x.dim() + 1


def test_random_parts_follow_the_chain() -> None:
    """Its seed, its table and its replay cover them; two equal parts draw apart."""
    part = ofs.Compose([ofs.augment.Gain(), ofs.STFT(**FRAMES, output="power")])
    chains = [ofs.Compose([ofs.Parallel(one=part, two=copy.deepcopy(part))], seed=seed) for seed in (1, 2)]
    first, second = (chain(BATCH) for chain in chains)
    assert not torch.equal(first["one"].data, second["one"].data)
    assert not torch.equal(first["one"].data, first["two"].data)
    table = chains[0].draw(BATCH.ids)
    assert chains[0].is_random()
    assert set(table["0"]) == {"one", "two"}
    again = chains[1].replay(BATCH._replace(ids=None), json.loads(json.dumps(laws.as_lists(table))))
    assert torch.equal(again["two"].data, first["two"].data)
    assert not chains[0].eval().is_random()


def test_backward_hooks_fire_too() -> None:
    together, seen = features(), []
    together.transforms["mel"].register_full_backward_hook(lambda *_: seen.append("mel"))
    data = BATCH.data.clone().requires_grad_()
    together(data)["mel"].sum().backward()
    assert seen == ["mel"]


def test_errors() -> None:
    part = ofs.Parallel(mel=ofs.MelSpectrogram(**MEL))
    for wrong in (
        lambda: ofs.Compose([ofs.Compose([part]), ofs.AmplitudeToDB()]),
        lambda: ofs.Parallel(inner=ofs.Compose([part])),
        lambda: ofs.OneOf([ofs.Compose([part])]),
    ):
        with pytest.raises(ValueError, match="a Parallel, which gives a mapping, only as the last step"):
            wrong()
    for name in ("type", "items", "a.b"):
        with pytest.raises(ValueError, match="Parallel: expected names of features"):
            ofs.Parallel(**{name: ofs.MelSpectrogram(**MEL)})
    with pytest.raises(ValueError, match="Parallel: expected at least one step"):
        ofs.Parallel()
    with pytest.raises(TypeError, match="Linear"):
        ofs.Parallel(wrong=torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="all steps to take waveforms"):
        ofs.Parallel(mel=ofs.MelSpectrogram(**MEL), log=ofs.Log())
    for name, where in (("power", "STFT"), ("decibels", "Compose step 0: STFT"), ("cqt", "CQT")):
        with pytest.raises(ValueError, match=f"^{where}: expected a batch of 8000 Hz .its sample_rate., got 16000 Hz"):
            ofs.Parallel(**{name: MAKERS[name]()})(BATCH._replace(rate=16_000.0))
