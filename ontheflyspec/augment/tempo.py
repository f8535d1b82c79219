"""Augmentations of pitch and pace."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.augment.moving import as_given, last_axis, pieces, row, table_for
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.functional import fourier, vocoder
from ontheflyspec.functional import vocoder_tables as tables
from ontheflyspec.targets import Pieces

SEMITONES = 48.0
"""Widest shift of pitch."""
PACE = 16.0
"""Fastest pace, and 1 over the slowest."""


class PitchShift(Augment):
    """Makes each item higher or lower by a drawn number of semitones, and keeps its length and pace.

    A phase vocoder with loosely locked phases: frames of the result have 37.5 ms, every 12.5 ms. Each is the inverse
    Fourier transform of a frame that lasts longer or shorter by the drawn ratio, so no resampling follows and nothing
    folds back: what rises above half the rate is gone. The ratio is rounded to whole points of that transform, by at
    most 2.9 cents, 2 at 22.05 kHz and 1 at 44.1 kHz. A vowel's formants move with its pitch; attacks spread over a
    frame. Between kinds of device rounding may turn the phases of what follows silence.

    The batch must know its rate. Gradients take the turns of the phases as constants.

    Args:
        semitones: range in semitones that the shift is drawn from, evenly, within -48..48; above 0 is higher.
        p: probability that an item is changed.
        seed: makes two shifts differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out. All channels of an item turn together: differences of phase
        between them stay.

    Padding:
        Left out; 0 past each length. Beyond its ends an item is silent.

    Raises:
        ValueError: a range with low above high or beyond 48, a batch without a rate, a table with a higher shift than
            the range has.

    Matches:
        Tones within 3 cents, and vowels within 5 by ``librosa.pyin`` (tests/augment/test_tempo.py).

    References:
        Laroche, Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Trans. Speech and Audio
        Processing 1999; Puckette, "Phase-locked vocoder", WASPAA 1995.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(torch.arange(8_000.0) * (2 * torch.pi * 440 / 8_000))
        >>> higher = ofs.augment.PitchShift(semitones=12.0)(ofs.pad([tone], rate=8_000)).data[0]
        >>> int(torch.fft.rfft(higher).abs().argmax())
        880
    """

    def __init__(self, *, semitones: float | tuple[float, float] = (-4.0, 4.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.semitones = checks.span("PitchShift", "semitones", semitones, low=-SEMITONES, high=SEMITONES)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``semitones`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "semitones": between(unit[:, 1], self.semitones)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item at its drawn pitch."""
        data, lengths = batch.data, batch.lengths
        hop = tables.hop_for(known_rate("PitchShift", batch, "frames in seconds"))
        n_fft = tables.transform_size(hop, self.semitones[1])
        active = column(params["active"], torch.bool).cpu()
        points = tables.points_for(row(params, "semitones", 0.0, active), n_fft)
        if bool((points < tables.HOPS * hop).any()):
            got = f"{float(column(params['semitones'], torch.float64).max()):g}"
            rule = f"a table within the range of semitones, up to {self.semitones[1]:g}"
            raise ValueError(checks.message("PitchShift", rule, got, "Apply it with a step of that range."))
        pace = torch.ones_like(points, dtype=torch.float64)
        with fourier.full_precision(data.device):
            shifted = vocoder.vocode(data, lengths, lengths, data.shape[-1], active, pace, points, hop=hop, n_fft=n_fft)
        return batch._replace(data=shifted)


class TimeStretch(Augment):
    """Makes each item faster or slower by a drawn rate, and keeps its pitch.

    The phase vocoder of `PitchShift` with frames of 37.5 ms. An item of n samples comes out with ``round(n / rate)``,
    at least one if it had one. The batch must know its rate in Hz. Gradients take the turns of the phases as constants.

    Args:
        rate: range that the rate is drawn from, evenly, within 1/16..16; above 1 is faster and shorter.
        p: probability that an item is changed.
        seed: makes two stretches differ.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` likewise, a Tensor ``[T]`` to its own; all channels of an item
        turn together. With lengths on a device, which nobody asks for them, the last axis is as long as the slowest
        item could be.

    Padding:
        Left out; 0 past each new length. Beyond its ends an item is silent.

    Raises:
        ValueError: a range with low above high or beyond 16 times, a batch without a rate; `output_lengths` without
            the table of a draw where they differ.

    Matches:
        The signal itself at rate 1, 2e-6; clicks within 12.5 ms of their new times, tones within 0.1 cents
        (tests/augment/test_tempo.py).

    References:
        As `PitchShift`.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(8_000), torch.randn(4_000)], rate=8_000)
        >>> ofs.augment.TimeStretch(rate=0.8)(batch).lengths.tolist()
        [10000, 5000]
    """

    def __init__(self, *, rate: float | tuple[float, float] = (0.8, 1.25), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.rate = checks.span("TimeStretch", "rate", rate, low=1 / PACE, high=PACE)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``rate`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "rate": between(unit[:, 1], self.rate)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item at its drawn pace."""
        data, lengths = batch.data, batch.lengths
        hop = tables.hop_for(known_rate("TimeStretch", batch, "frames in seconds"))
        n_fft = tables.transform_size(hop, 0.0)
        active = column(params["active"], torch.bool).cpu()
        pace = row(params, "rate", 1.0, active).cpu()
        sizes = _stretched(lengths, row(params, "rate", 1.0, lengths))
        size = last_axis(sizes, _stretched(torch.full_like(active, data.shape[-1], dtype=torch.int64), pace))
        with fourier.full_precision(data.device):
            out = vocoder.vocode(data, lengths, sizes, size, active, pace, None, hop=hop, n_fft=n_fft)
        return batch._replace(data=out, lengths=sizes)

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns ``round(n / rate)``, for one table of `draw` if rates differ."""
        table = table_for(self, params, fixed=self.rate[0] == self.rate[1])
        if table is None:
            return lengths
        given = as_tensor(lengths, torch.int64)
        return as_given(_stretched(given, row(table, "rate", 1.0, given)), lengths, params)

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns each item as one piece at its pace."""
        nothing = torch.zeros_like(batch.lengths)
        return pieces(batch, nothing, batch.lengths, nothing, 1 / row(params, "rate", 1.0, batch.lengths))


def _stretched(lengths: Tensor, rate: Tensor) -> Tensor:
    return torch.round(lengths / rate).long().clamp(min=1) * (lengths > 0)
