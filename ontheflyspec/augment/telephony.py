"""Augmentations that let a waveform sound as over a telephone."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, column
from ontheflyspec.augment.filtering import (
    LOWEST,
    Span,
    below_half,
    between_mels,
    filtered,
    longest,
    traced_once,
)
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.distortion import bend_items, mu_law
from ontheflyspec.functional.filtering import butterworth, warped


class Telephone(Augment):
    """Leaves the band that telephones carry, and rounds samples as their codecs do if asked for.

    A Butterworth high pass and a low pass run over each item forwards and backwards: nothing is delayed, 6 dB are lost
    at the edges, ``12 * order`` dB an octave beyond them. Before and after an item there is silence. Edges above 0.49
    of the rate count as that. The rate stays as it is.

    Args:
        low_hz: range in Hz that the lower edge is drawn from, evenly in mel; 1 Hz or more.
        high_hz: range in Hz that the upper edge is drawn from, likewise; it must begin above the end of ``low_hz``.
        order: poles of each of the two filters, up to 8.
        mu: compression of `MuLaw`, which follows the filters, 255 for 8 bits; None for no rounding. Full scale is 1.
            Which of two levels a sample between them gets may differ from device to device.
        p: probability that an item is changed.
        seed: makes two telephones differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one telephone an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, below 1 Hz or wholly at or above half the rate, ranges that meet, an
            order outside 1..8, ``mu`` outside 3..65535, a batch without a rate.

    Matches:
        ``scipy.signal.butter`` twice with ``sosfiltfilt`` in silence, on the item alone: 3e-6 of the waveform's peak
        (tests/augment/test_telephony.py).

    References:
        ITU-T G.712 (band of 300 to 3400 Hz), ITU-T G.711 (codec).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.5]]) * torch.arange(16_000.0))
        >>> heard = ofs.augment.Telephone()(ofs.pad(tones, rate=16_000)).data
        >>> [round(level, 2) for level in heard[:, 1_000:15_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    def __init__(
        self,
        *,
        low_hz: float | Span = 300.0,
        high_hz: float | Span = 3400.0,
        order: int = 4,
        mu: float | None = None,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.low_hz = checks.span("Telephone", "low_hz", low_hz, low=LOWEST)
        self.high_hz = checks.span("Telephone", "high_hz", high_hz, low=LOWEST)
        if self.high_hz[0] <= self.low_hz[1]:
            rule = f"high_hz to begin above the end of low_hz, {self.low_hz[1]:g} Hz"
            raise ValueError(checks.message("Telephone", rule, f"{self.high_hz[0]:g} Hz", "Raise high_hz."))
        self.order = checks.integer("Telephone", "order", order, high=8)
        self.mu = None if mu is None else checks.number("Telephone", "mu", mu, low=3.0, high=65535.0)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``low_hz`` and ``high_hz`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 3)
        low_hz, high_hz = between_mels(unit[:, 1], self.low_hz), between_mels(unit[:, 2], self.high_hz)
        return {"active": unit[:, 0] < self.p, "low_hz": low_hz, "high_hz": high_hz}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item as over its telephone."""
        below_half("Telephone", batch, "low_hz", self.low_hz, "a band in Hz")
        batch = filtered(batch, params, self._design, ("low_hz", "high_hz"), self._longest, zero_phase=True)
        if self.mu is None:
            return batch
        active = column(params["active"], torch.bool)
        mu = torch.full((len(active), 1), self.mu, dtype=torch.float64, device=active.device)
        return batch._replace(data=bend_items(batch.data, batch.lengths, active, mu, mu_law))

    def _design(self, rate: float, low_hz: Tensor, high_hz: Tensor) -> Tensor:
        lower = butterworth(warped(low_hz, rate), self.order, "high")
        return torch.cat([lower, butterworth(warped(high_hz, rate), self.order, "low")], 1)

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.low_hz, self.high_hz)
