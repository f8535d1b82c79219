"""Plots of batches of features and waves with their padding hatched; matplotlib is imported when a plot is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import WAVE_DTYPES, PaddedBatch, as_float, check_dtype, check_rank
from ontheflyspec.chain.compose import output_rank
from ontheflyspec.chain.parallel import Parallel

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
    front_end: Any = None,
    titles: Sequence[str] | None = None,
    max_items: int = 4,
) -> Figure:
    """Draws the first items of a batch of features or waves, one a column, with the padding hatched.

    Several batches of the same items, such as before and after augmentation, or the features of a `Parallel`, become
    one row each. All panels share one time axis, and rows of equal bands one colour scale. Bands stand at equal
    distances, as the model sees them, and are labelled in Hz where the front end knows, else by their numbers. Of
    complex spectra magnitudes are drawn.

    Args:
        batches: features ``[B, F, N]`` or ``[B, C, F, N]``, waves ``[B, T]`` or ``[B, C, T]`` (the first channel is
            drawn), or such batches by the names of their rows.
        front_end: the transform or chain that made them, whose ``frequencies`` and ``frame_times`` label the axes; of a
            `Parallel` that of the same name. None for what made waves, or features that nobody knows of.
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
    makers = [front_end.transforms[name] if isinstance(front_end, Parallel) else front_end for name in rows]
    waves = [_are_waves(batch, maker) for batch, maker in zip(rows.values(), makers, strict=True)]
    n_items = _checked(rows, waves, titles, checks.integer(WHERE, "max_items", max_items))
    items = [
        [_first_channel(batch, item, flat) for item in range(n_items)]
        for batch, flat in zip(rows.values(), waves, strict=True)
    ]
    return _drawn(rows, makers, items, titles)


def _drawn(
    rows: Mapping[str, PaddedBatch],
    makers: Sequence[Any],
    items: Sequence[Sequence[Tensor]],
    titles: Sequence[str] | None,
) -> Figure:
    """Draws the items of each row, with its labels and colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    scales, n_items = _scales(items), len(items[0])
    figure = Figure(figsize=(1.2 + 2.7 * n_items, 0.8 + 2.3 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), n_items, sharex=True, sharey="row", squeeze=False)
    for name, batch, maker, panel_row, item_row in zip(rows, rows.values(), makers, panels, items, strict=True):
        times = _edges(_centres(batch, maker))
        for axes, item in zip(panel_row, item_row, strict=True):
            _draw_item(axes, item, times, scales.get(_bands(item)))
        _label_rows(panel_row[0], name, item_row[0], maker)
    for axes, title in zip(panels[0], titles or (), strict=False):
        axes.set_title(title)
    for axes in panels[-1]:
        axes.set_xlabel("seconds")
    for bands, scale in scales.items():
        beside = [axes for row, own in zip(panels, items, strict=True) for axes in row if _bands(own[0]) == bands]
        figure.colorbar(ScalarMappable(scale, _COLOURS), ax=beside, label="value", aspect=30, pad=0.01)
    return figure


def _bands(item: Tensor) -> int:
    """Returns the bands of an item, 0 for a wave."""
    return item.shape[0] if item.dim() == 2 else 0


def _scales(items: Sequence[Sequence[Tensor]]) -> dict[int, Normalize]:
    """Returns the colour scale of the rows of so many bands, by these."""
    from matplotlib.colors import Normalize

    alike: dict[int, list[Tensor]] = {}
    for item in (item for row in items for item in row if item.dim() == 2):
        alike.setdefault(_bands(item), []).append(item.flatten())
    return {bands: Normalize(*_span(torch.cat(values))) for bands, values in alike.items()}


def _are_waves(batch: Any, maker: Any) -> bool:
    """Returns whether a batch holds waves: its axes tell, or what made it."""
    if not isinstance(batch, PaddedBatch):
        return False
    return batch.data.dim() == 2 or (batch.data.dim() == 3 and maker is not None and output_rank(maker) == 1)


def _centres(batch: PaddedBatch, maker: Any) -> np.ndarray[Any, Any]:
    """Returns the times of a batch's steps in seconds, at least one; their numbers if the rate is not known."""
    count = max(1, batch.data.shape[-1])
    times = getattr(maker, "frame_times", None)
    try:
        return np.asarray(times(count)) if times is not None else np.arange(count) / (batch.rate or 1.0)
    except AttributeError:  # of a chain without such a step
        return np.arange(count) / (batch.rate or 1.0)


def _label_rows(axes: Axes, name: str, item: Tensor, maker: Any) -> None:
    """Labels the vertical axis of a row."""
    hertz = getattr(maker, "frequencies", None) if item.dim() == 2 else None
    known = hertz is not None and len(hertz) == item.shape[0]
    axes.set_ylabel(f"{name}\n{'Hz' if known else 'band' if item.dim() == 2 else 'sample'}".lstrip())
    if known:
        _label_bands(axes, np.asarray(hertz))


def _span(values: Tensor) -> tuple[float, float]:
    """Returns the ends of the colour scale: the 1st percentile and the maximum of all values."""
    if not len(values):
        return 0.0, 1.0
    return float(np.quantile(values.numpy(), 0.01)), float(values.max())


def _checked(rows: Mapping[str, Any], waves: Sequence[bool], titles: Sequence[str] | None, max_items: int) -> int:
    """Returns the number of items to draw, or raises what is wrong with the batches or titles."""
    if not rows:
        raise ValueError(checks.message(WHERE, "at least one batch", "none", "Pass a batch, or batches by name."))
    sizes = set()
    for (name, batch), flat in zip(rows.items(), waves, strict=True):
        if not isinstance(batch, PaddedBatch):
            got = f"{type(batch).__name__}" + (f" for {name!r}" if name else "")
            raise TypeError(checks.message(WHERE, "a PaddedBatch", got, "Pass what the front end returns for one."))
        check_dtype(WHERE, batch.data, (*WAVE_DTYPES, torch.complex64, torch.complex128))
        check_rank(WHERE, batch.data, 1 if flat else 2, batched=True)
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


def _first_channel(batch: PaddedBatch, item: int, flat: bool) -> Tensor:
    """Returns the valid part of an item's first channel, ``[F, N]`` or of waves ``[T]``, on the host."""
    data = batch.data[item]
    data = data if data.dim() == (1 if flat else 2) else data[0]
    data = data[..., : int(batch.lengths[item])].detach().cpu()
    return data.abs() if data.is_complex() else as_float(data).float()


def _edges(centres: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the ``N + 1`` borders of N frames with evenly spaced centres, in seconds."""
    step = centres[1] - centres[0] if len(centres) > 1 else 1.0
    return np.append(centres, centres[-1] + step) - step / 2


def _draw_item(axes: Axes, item: Tensor, times: np.ndarray[Any, Any], norm: Normalize | None) -> None:
    """Draws one item, ``[F, N]`` or ``[T]``, and hatches its padding."""
    steps = item.shape[-1]
    if item.dim() == 1:
        axes.plot((times[:-1] + times[1:])[:steps] / 2, item.numpy(), linewidth=0.5)
    elif steps:
        extent = (times[0], times[steps], -0.5, item.shape[0] - 0.5)
        axes.imshow(item.numpy(), extent=extent, norm=norm, **_IMAGE)
    if steps + 1 < len(times):
        axes.axvspan(times[steps], times[-1], label="padding", **_PADDING)
    axes.set_xlim(times[0], times[-1])
    if item.dim() == 2:
        axes.set_ylim(-0.5, item.shape[0] - 0.5)


def _label_bands(axes: Axes, frequencies: np.ndarray[Any, Any]) -> None:
    """Labels evenly spaced bands with round numbers of Hz."""
    ticks = [hz for hz in _ROUND_HZ if frequencies[0] <= hz <= frequencies[-1]]
    places = np.interp(ticks, frequencies, np.arange(len(frequencies)))
    kept: list[tuple[float, int]] = []
    for hz, place in zip(ticks, places, strict=True):
        if not kept or place - kept[-1][0] >= len(frequencies) / 12:
            kept.append((place, hz))
    axes.set_yticks([place for place, _ in kept], [f"{hz:g}" for _, hz in kept])
