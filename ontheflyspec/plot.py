"""Plots of feature batches with their padding hatched; matplotlib is imported when a plot is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import FEATURE_DTYPES, PaddedBatch, check_dtype, check_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

WHERE = "plot_batch"
_ROUND_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
_COLOURS = "magma"
_IMAGE: dict[str, Any] = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", "cmap": _COLOURS}
_PADDING: dict[str, Any] = {"facecolor": "0.92", "edgecolor": "0.6", "hatch": "///", "linewidth": 0.0}


def plot_batch(
    batches: PaddedBatch | Mapping[str, PaddedBatch],
    *,
    front_end: Any,
    titles: Sequence[str] | None = None,
    max_items: int = 4,
) -> Figure:
    """Draws the first items of a batch of features, one a column, with the padding hatched.

    Several batches of the same items, such as before and after augmentation, become one row each. All panels share
    one colour scale and one time axis. Bands stand at equal distances, as the model sees them, and are labelled in Hz.

    Args:
        batches: features ``[B, F, N]`` or ``[B, C, F, N]`` (the first channel is drawn), or such batches by the names
            of their rows.
        front_end: the transform or chain that made them; its ``frequencies`` and ``frame_times`` label the axes.
        titles: titles of the columns, such as names of classes.
        max_items: most columns.

    Returns:
        A matplotlib figure of its own, beside pyplot's; ``.savefig(path)`` writes it.

    Padding:
        Hatched from half a frame behind each item's last one to the end of the batch.

    Raises:
        ValueError: no batches or items, other axes than these, batches of unlike items, or too few titles.
        ImportError: matplotlib is missing.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> mel = ofs.Compose([ofs.MelSpectrogram(sample_rate=8_000, n_fft=256, n_mels=40), ofs.AmplitudeToDB()])
        >>> batch = mel(ofs.pad([torch.randn(8_000), torch.randn(5_000)], rate=8_000))
        >>> figure = ofs.plot_batch(batch, front_end=mel, titles=["one", "two"])
        >>> [axes.get_title() for axes in figure.axes[:2]]
        ['one', 'two']
    """
    rows = dict(batches) if isinstance(batches, Mapping) else {"": batches}
    n_items = _checked(rows, titles, checks.integer(WHERE, "max_items", max_items))
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    items = [[_first_channel(batch, item) for item in range(n_items)] for batch in rows.values()]
    n_frames = max(batch.data.shape[-1] for batch in rows.values())
    times = _edges(front_end.frame_times(max(1, n_frames)).numpy())
    norm = Normalize(*_span(torch.cat([item.flatten() for row in items for item in row])))
    figure = Figure(figsize=(1.2 + 2.7 * n_items, 0.8 + 2.3 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), n_items, sharex=True, sharey=True, squeeze=False)
    for name, panel_row, item_row in zip(rows, panels, items, strict=True):
        for axes, item in zip(panel_row, item_row, strict=True):
            _draw_item(axes, item, times, norm)
        panel_row[0].set_ylabel(f"{name}\nHz".lstrip())
    for axes, title in zip(panels[0], titles or (), strict=False):
        axes.set_title(title)
    for axes in panels[-1]:
        axes.set_xlabel("seconds")
    _label_bands(panels[0, 0], front_end.frequencies.numpy())
    figure.colorbar(ScalarMappable(norm, _COLOURS), ax=panels, label="value", aspect=30, pad=0.01)
    return figure


def _span(values: Tensor) -> tuple[float, float]:
    """Returns the ends of the colour scale: the 1st percentile and the maximum of all values."""
    if not len(values):
        return 0.0, 1.0
    return float(np.quantile(values.numpy(), 0.01)), float(values.max())


def _checked(rows: Mapping[str, Any], titles: Sequence[str] | None, max_items: int) -> int:
    """Returns the number of items to draw, or raises what is wrong with the batches or titles."""
    if not rows:
        raise ValueError(checks.message(WHERE, "at least one batch", "none", "Pass a batch, or batches by name."))
    sizes = set()
    for name, batch in rows.items():
        if not isinstance(batch, PaddedBatch):
            got = f"{type(batch).__name__}" + (f" for {name!r}" if name else "")
            raise TypeError(checks.message(WHERE, "a PaddedBatch", got, "Pass what the front end returns for one."))
        check_dtype(WHERE, batch.data, FEATURE_DTYPES)
        check_rank(WHERE, batch.data, 2, batched=True)
        sizes.add(batch.data.shape[0])
    if len(sizes) > 1 or 0 in sizes:
        got = f"batches of {' and '.join(map(str, sorted(sizes)))} items"
        remedy = "Draw other batches by themselves."
        raise ValueError(checks.message(WHERE, "the same items in every batch", got, remedy))
    n_items = min(max_items, sizes.pop())
    if titles is not None and len(titles) < n_items:
        rule = f"a title for each of {n_items} items"
        raise ValueError(checks.message(WHERE, rule, len(titles), "Pass more or none."))
    return n_items


def _first_channel(batch: PaddedBatch, item: int) -> Tensor:
    """Returns the valid part ``[F, N]`` of an item's first channel, on the host."""
    data = batch.data[item] if batch.data.dim() == 3 else batch.data[item, 0]
    return data[:, : int(batch.lengths[item])].detach().float().cpu()


def _edges(centres: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the ``N + 1`` borders of N frames with evenly spaced centres, in seconds."""
    step = centres[1] - centres[0] if len(centres) > 1 else 1.0
    return np.append(centres, centres[-1] + step) - step / 2


def _draw_item(axes: Axes, item: Tensor, times: np.ndarray[Any, Any], norm: Normalize) -> None:
    """Draws one item ``[F, N]`` and hatches its padding."""
    n_bands, n_frames = item.shape
    if n_frames:
        extent = (times[0], times[n_frames], -0.5, n_bands - 0.5)
        axes.imshow(item.numpy(), extent=extent, norm=norm, **_IMAGE)
    if n_frames + 1 < len(times):
        axes.axvspan(times[n_frames], times[-1], label="padding", **_PADDING)
    axes.set(xlim=(times[0], times[-1]), ylim=(-0.5, n_bands - 0.5))


def _label_bands(axes: Axes, frequencies: np.ndarray[Any, Any]) -> None:
    """Labels evenly spaced bands with round numbers of Hz."""
    ticks = [hz for hz in _ROUND_HZ if frequencies[0] <= hz <= frequencies[-1]]
    places = np.interp(ticks, frequencies, np.arange(len(frequencies)))
    kept: list[tuple[float, int]] = []
    for hz, place in zip(ticks, places, strict=True):
        if not kept or place - kept[-1][0] >= len(frequencies) / 12:
            kept.append((place, hz))
    axes.set_yticks([place for place, _ in kept], [f"{hz:g}" for _, hz in kept])
