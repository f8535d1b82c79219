"""Pictures: values, padding and labels stand where the features say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

import ontheflyspec as ofs

RATE, HOP = 8_000, 64
MEL = ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=HOP, n_mels=40)
FRONT_END = ofs.Compose([MEL, ofs.AmplitudeToDB()])


def features(*lengths: int) -> ofs.PaddedBatch:
    torch.manual_seed(0)
    return FRONT_END(ofs.pad([torch.randn(length) for length in lengths], rate=RATE))


def pixels(figure: Any, axes: Any, seconds: float, band: float) -> np.ndarray:
    """Returns the colours of 9 x 9 pixels around a place of a panel."""
    image = np.asarray(figure.canvas.buffer_rgba())
    x, y = axes.transData.transform((seconds, band)).astype(int)
    row = image.shape[0] - y
    return image[row - 4 : row + 5, x - 4 : x + 5, :3].reshape(-1, 3).astype(int)


def is_grey(colours: np.ndarray) -> bool:
    return int(np.ptp(colours, axis=1).max()) <= 8


def test_png_shows_values_in_colour_and_padding_in_hatched_grey(tmp_path: Path) -> None:
    batch = features(8_000, 4_000)
    figure = ofs.plot_batch({"before": batch, "after": batch}, front_end=FRONT_END, titles=["long", "short"])
    figure.savefig(tmp_path / "batch.png", dpi=100)
    assert imread(tmp_path / "batch.png").shape[:2] == tuple((figure.get_size_inches() * 100).astype(int)[::-1])

    figure.set_dpi(100)
    FigureCanvasAgg(figure).draw()
    panels = figure.axes[:4]
    assert [panel.get_title() for panel in panels] == ["long", "short", "", ""]
    for long, short in (panels[:2], panels[2:]):
        assert not is_grey(pixels(figure, long, 0.25, 20))
        assert not is_grey(pixels(figure, long, 0.75, 20))
        assert not is_grey(pixels(figure, short, 0.25, 20))
        padding = pixels(figure, short, 0.75, 20)
        assert is_grey(padding)
        assert np.ptp(padding[:, 0]) > 40, "hatched, not plain"


def test_values_and_ends_are_those_of_the_batch() -> None:
    batch = features(5_000, 2_500, 3_000)
    figure = ofs.plot_batch(batch, front_end=FRONT_END, max_items=2)
    assert len(figure.axes) == 3, "two panels and the colour bar"
    for axes, item in zip(figure.axes[:2], batch.unpad()[:2], strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), item.numpy())
        end = (item.shape[1] - 0.5) * HOP / RATE
        np.testing.assert_allclose(image.get_extent(), (-0.5 * HOP / RATE, end, -0.5, 39.5), atol=1e-12)
        hatched = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches if patch.get_hatch()]
        last = (batch.data.shape[-1] - 0.5) * HOP / RATE
        expected = [(end, last)] if end < last else []
        np.testing.assert_allclose(hatched, expected, atol=1e-12)


def test_round_hz_stand_at_their_bands() -> None:
    axes = ofs.plot_batch(features(4_000), front_end=FRONT_END).axes[0]
    places, labels = axes.get_yticks(), [float(label.get_text()) for label in axes.get_yticklabels()]
    assert labels == sorted(labels)
    assert len(labels) >= 4
    centres = MEL.frequencies.numpy()
    for place, hz in zip(places, labels, strict=True):
        below = int(np.searchsorted(centres, hz)) - 1
        assert below <= place <= below + 1


def test_first_channel_is_drawn() -> None:
    batch = features(2_000, 1_000)
    stereo = batch._replace(data=torch.stack([batch.data, -batch.data], 1))
    for one, other in zip(
        ofs.plot_batch(batch, front_end=FRONT_END).axes[:2],
        ofs.plot_batch(stereo, front_end=FRONT_END).axes[:2],
        strict=True,
    ):
        np.testing.assert_array_equal(one.images[0].get_array(), other.images[0].get_array())


@pytest.mark.parametrize("lengths", [(0, 900), (0,), (1,)])
def test_clips_of_hardly_any_samples_are_drawn(lengths: tuple[int, ...], tmp_path: Path) -> None:
    figure = ofs.plot_batch(features(*lengths), front_end=FRONT_END)
    figure.savefig(tmp_path / "batch.svg")
    assert len(figure.axes[0].images) == (lengths[0] > 0)


def test_waves_and_features_without_hertz_are_drawn(tmp_path: Path) -> None:
    waves = ofs.pad([torch.randn(2_000), torch.randn(900)], rate=RATE)
    options = {"sample_rate": RATE, "n_fft": 256, "hop_length": HOP}
    features = ofs.Parallel(
        mel=ofs.MelSpectrogram(**options, n_mels=20),
        spectrum=ofs.STFT(**options),
        mfcc=ofs.MFCC(**options, n_mels=20, n_mfcc=5),
    )
    figure = ofs.plot_batch(features(waves), front_end=features)
    figure.savefig(tmp_path / "features.png")
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_ylabel().split()[-1] for axes in panels[::2]] == ["Hz", "Hz", "band"]
    spectrum = ofs.STFT(**options)(waves)
    np.testing.assert_allclose(panels[2].images[0].get_array(), spectrum.data[0].abs().numpy(), rtol=1e-5)
    louder = ofs.augment.Gain(gain_db=6.0)
    for batch, front_end in (
        (waves, None),
        (louder(waves), louder),
        (ofs.pad([torch.randn(2, 900)], rate=RATE), louder),
    ):
        figure = ofs.plot_batch(batch, front_end=front_end)
        figure.savefig(tmp_path / "waves.png")
        drawn = figure.axes[0].lines[0].get_ydata()
        first = batch.data[0] if batch.data.dim() == 2 else batch.data[0, 0]
        np.testing.assert_array_equal(drawn, first.numpy())
        assert figure.axes[0].get_ylabel() == "sample"


@pytest.mark.parametrize(
    ("batches", "options", "match"),
    [
        ({}, {}, "plot_batch: expected at least one batch, got none"),
        ({"plain": torch.zeros(2, 40, 9)}, {}, "plot_batch: expected a PaddedBatch, got Tensor for 'plain'"),
        ({"a": features(900, 900), "b": features(900)}, {}, "the same items in every batch, got batches of 1 and 2"),
        (features(900, 900), {"titles": ["one"]}, "expected a title for each of 2 items, got 1"),
        (features(900), {"max_items": 0}, "expected max_items to be an integer of at least 1, got 0"),
        (ofs.PaddedBatch(torch.zeros(9), torch.tensor([9]), RATE), {}, r"expected data of shape \[B, F, N\]"),
    ],
)
def test_bad_input(batches: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        ofs.plot_batch(batches, front_end=FRONT_END, **options)
