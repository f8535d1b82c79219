"""Fixed steps of preprocessing: what their augmentations do, in training and evaluation, in chains, with labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontheflyspec as ofs
from registry import CASES

RATE = 8_000
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "gain": ("Gain", {"gain_db": -7.0}),
    "peak": ("PeakNormalize", {"peak_db": -3.0}),
    "rms": ("RMSNormalize", {"rms_db": -25.0}),
    "loudness": ("LoudnessNormalize", {"loudness_lufs": -20.0}),
    "low": ("LowPass", {"cutoff_hz": 900.0, "order": 3}),
    "high": ("HighPass", {"cutoff_hz": 300.0, "zero_phase": False}),
    "band": ("BandPass", {"center_hz": 1_000.0, "bandwidth": 0.7}),
    "telephone": ("Telephone", {"low_hz": 250.0, "high_hz": 3_000.0}),
    "telephone of 8 bits": ("Telephone", {"mu": 255.0}),
    "pre-emphasis": ("PreEmphasis", {"coefficient": 0.9}),
    "mu-law": ("MuLaw", {"mu": 100.0}),
    "trim": ("TrimSilence", {"top_db": 20.0, "frame_length": 256, "hop_length": 64}),
    "duration at the start": ("AdjustDuration", {"seconds": 0.2, "position": "start"}),
    "duration at the end": ("AdjustDuration", {"seconds": 0.2, "position": "end"}),
    "duration in the middle": ("AdjustDuration", {"seconds": 0.2, "position": "center"}),
}


def batch(dtype: torch.dtype = torch.float32, *channels: int) -> ofs.PaddedBatch:
    draws = torch.Generator().manual_seed(5)
    made = [0.4 * torch.randn(*channels, n, generator=draws) for n in (1_600, 0, 1, 900, 1_500)]
    made[3][..., :300] = made[3][..., 700:] = 0
    if dtype == torch.int16:
        return ofs.pad([(one.clamp(-1, 1) * 32_767).to(dtype) for one in made], rate=RATE)
    return ofs.pad([one.to(dtype) for one in made], rate=RATE)


@pytest.mark.parametrize("channels", [(), (2,)], ids=["mono", "stereo"])
@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64], ids=["int16", "float32", "float64"])
@pytest.mark.parametrize("name", STEPS)
def test_as_the_augmentation_of_the_same_name(name: str, dtype: torch.dtype, channels: tuple[int, ...]) -> None:
    kind, options = STEPS[name]
    fixed, drawn, given = getattr(ofs, kind)(**options), getattr(ofs.augment, kind)(**options), batch(dtype, *channels)
    found, expected = fixed(given), drawn(given)
    assert torch.equal(found.data, expected.data)
    assert torch.equal(found.lengths, expected.lengths)
    again = fixed.eval()(given)
    assert torch.equal(again.data, found.data)
    assert drawn.eval()(given).data.shape == given.data.shape  # what draws is off


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_class_decides_the_mode(case: Any) -> None:
    """In evaluation a random step is the identity, a deterministic one gives what it gives in training."""
    from laws import Example

    step, given = case.make(), Example((160, 1, 33, 128), spare=3).batch(case)
    with torch.no_grad():
        if isinstance(step, ofs.Transform):
            assert torch.equal(step.train()(given).data, step.eval()(given).data)
        elif isinstance(step, ofs.Augment):
            assert torch.equal(step.eval()(given).data.nan_to_num(), given.data.nan_to_num())


def test_training_goes_on_in_evaluation_with_preprocessing() -> None:
    chain = ofs.Compose(
        [ofs.PreEmphasis(), ofs.augment.Gain(gain_db=6.0), ofs.MelSpectrogram(sample_rate=RATE, n_mels=20)]
    )
    both = ofs.Compose([ofs.PreEmphasis(), ofs.MelSpectrogram(sample_rate=RATE, n_mels=20)])
    given = batch()
    assert torch.equal(chain.eval()(given).data, both(given).data)
    wave = given.data[0]
    assert torch.equal(chain(wave), both(wave))


PLACES = ["start", "center", "end"]


@pytest.mark.parametrize("crop", PLACES)
@pytest.mark.parametrize("position", PLACES)
def test_duration_as_slices(crop: Any, position: Any) -> None:
    given = batch()
    found = ofs.AdjustDuration(seconds=0.125, crop=crop, position=position)(given)
    assert found.lengths.tolist() == [1_000] * 5
    for made, item in zip(found.data.numpy(), given.unpad(), strict=True):
        free, wave = abs(1_000 - len(item)), item.numpy()
        left = {"start": 0, "center": free // 2, "end": free}
        if len(wave) > 1_000:
            expected = wave[left[crop] :][:1_000]
        else:
            expected = np.pad(wave, (left[position], free - left[position]))
        assert np.array_equal(made, expected)


def test_labels_follow_a_fixed_duration() -> None:
    given = ofs.pad([torch.arange(1.0, 9.0), torch.arange(1.0, 4.0)], rate=1)
    labels = ofs.FrameLabels(given.data.clone(), given.lengths, 1.0)
    step = ofs.AdjustDuration(seconds=5.0, crop="end", position="end")
    for front in (step, ofs.Compose([step]), ofs.Compose([ofs.augment.PolarityInversion(p=0.0), step])):
        out, moved = front((given, labels))
        assert out.data.tolist() == [[4, 5, 6, 7, 8], [0, 0, 1, 2, 3]]
        assert moved.data.tolist() == out.data.tolist()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda step: ofs.Compose([ofs.Compose([step])]),
        lambda step: ofs.Compose([ofs.Compose([ofs.Compose([step]), ofs.augment.Gain()])]),
        lambda step: ofs.Compose([ofs.OneOf([step]), ofs.Sometimes(ofs.Gain(gain_db=3.0), p=0.0)]),
    ],
)
def test_labels_follow_through_nested_chains(wrap: Any) -> None:
    given = ofs.pad([torch.arange(1.0, 9.0), torch.arange(1.0, 4.0)], rate=1)
    labels = ofs.FrameLabels(given.data.clone(), given.lengths, 1.0)
    _, moved = wrap(ofs.AdjustDuration(seconds=5.0, crop="end", position="end"))((given, labels))
    assert moved.data.tolist() == [[4, 5, 6, 7, 8], [0, 0, 1, 2, 3]]


def test_features_beside_each_other_move_no_labels() -> None:
    given = ofs.pad([torch.arange(1.0, 9.0)], rate=1)
    labels = ofs.FrameLabels(given.data.clone(), given.lengths, 1.0)
    with pytest.raises(TypeError, match="Parallel: expected no steps inside that draw or change durations"):
        ofs.Parallel(one=ofs.AdjustDuration(seconds=5.0), other=ofs.Gain(gain_db=1.0))((given, labels))


def test_labels_follow_in_chains_with_hooks_too() -> None:
    given = ofs.pad([torch.arange(1.0, 9.0)], rate=1)
    labels = ofs.FrameLabels(given.data.clone(), given.lengths, 1.0)
    step, seen = ofs.AdjustDuration(seconds=5.0, crop="end"), []
    step.register_forward_hook(lambda *_: seen.append(True))
    out, moved = ofs.Compose([ofs.Gain(gain_db=0.0), step])((given, labels))
    assert moved.data.tolist() == out.data.tolist() == [[4, 5, 6, 7, 8]]
    assert seen == [True]


def test_tensors_take_the_rate_of_the_chain() -> None:
    chain = ofs.Compose([ofs.AdjustDuration(seconds=0.5), ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, n_mels=20)])
    assert chain(torch.randn(9_000)).shape[-1] == 1 + 4_000 // 64
    assert ofs.AdjustDuration(seconds=0.5, sample_rate=RATE).output_lengths(7) == 4_000


@pytest.mark.parametrize("name", STEPS)
def test_a_batch_of_no_items(name: str) -> None:
    kind, options = STEPS[name]
    given = batch()
    empty = ofs.PaddedBatch(given.data[:0], given.lengths[:0], RATE)
    out = getattr(ofs, kind)(**options)(empty)
    assert len(out.data) == len(out.lengths) == 0


@pytest.mark.parametrize("name", STEPS)
def test_any_step_becomes_random_by_sometimes(name: str) -> None:
    """Each item takes the step or is left alone, and all are in evaluation."""
    kind, options = STEPS[name]
    step = getattr(ofs, kind)(**options)
    given = batch()._replace(ids=torch.arange(5))
    sometimes = ofs.Sometimes(step, p=0.5, seed=4)
    taken, out, whole = sometimes.draw(torch.arange(5))["taken"][:, 0], sometimes(given), step(given)
    assert taken.any()
    assert not taken.all()
    for row, on in enumerate(taken.tolist()):
        expected = (whole if on else given).unpad()[row]
        assert torch.equal(out.unpad()[row], expected)
    assert torch.equal(sometimes.eval()(given).data, given.data)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ofs.Gain(gain_db=(-3.0, 3.0)), "Gain: expected gain_db to be a finite number, got"),
        (lambda: ofs.AdjustDuration(seconds=1.0, crop="random"), "'start' \\| 'center' \\| 'end', got 'random'"),
        (lambda: ofs.LowPass(cutoff_hz=5_000.0)(batch()), "cutoff_hz to begin below half the rate, 4000 Hz, got 5000"),
        (lambda: ofs.LowPass(cutoff_hz=500.0, zero_phase="no"), "zero_phase to be True or False, got 'no'"),
        (lambda: ofs.LowPass(cutoff_hz=500.0)(torch.randn(99)), "a batch that knows its rate"),
        (lambda: ofs.Telephone(low_hz=900.0, high_hz=800.0), "high_hz above low_hz, 900 Hz, got 800 Hz"),
        (
            lambda: ofs.AdjustDuration(seconds=1.0, sample_rate=9)(batch()),
            "a batch of 9 Hz \\(its sample_rate\\), got 8000",
        ),
        (lambda: ofs.TrimSilence().output_lengths(5), "samples, which new lengths depend on, got lengths alone"),
        (lambda: ofs.AdjustDuration(seconds=1.0).output_lengths(5), "a sample_rate, to know lengths without a batch"),
    ],
)
def test_errors(make: Any, match: str) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        make()


def test_gradients_reach_the_samples() -> None:
    wave: Tensor = torch.randn(1, 400, requires_grad=True)
    chain: nn.Module = ofs.Compose([ofs.PreEmphasis(coefficient=0.5), ofs.Gain(gain_db=20.0)])
    chain(wave).sum().backward()
    assert wave.grad is not None
    torch.testing.assert_close(wave.grad, torch.cat([torch.full((1, 399), 5.0), torch.full((1, 1), 10.0)], 1))
