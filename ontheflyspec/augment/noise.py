"""Augmentations that add noise."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.noises import add_colored_noise

COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0, "violet": -2.0}
"""Exponents of noises that have names."""


class AddColoredNoise(Augment):
    """Adds noise of a drawn colour at a drawn signal-to-noise ratio.

    Both powers are measured, over the item's own valid samples and all its channels, on the very noise that is added:
    the ratio holds exactly. Noise samples differ between channels. Silence stays silence. The spectrum begins at
    ``rate / 4096`` (4 Hz at 16 kHz): no DC, and little of the power of brown noise is rumble that nobody hears.

    An item's noise depends on its draw alone and is equal on one type of device; a CPU and a GPU make unlike samples.
    If ids were moved to a device, the drawn keys come back to the host, which waits; leave ids there.

    Args:
        snr_db: range in dB that the ratio of signal power to noise power is drawn from.
        f_decay: range of the exponent in ``power ~ 1 / f ** f_decay``, within -8..8: 0 white, 1 pink, 2 brown,
            -1 blue, -2 violet; or one of these names.
        p: probability that an item is changed.
        seed: makes two noises differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Left out of both powers; no noise goes there; 0 past each length.

    Raises:
        ValueError: a range with low above high, an exponent outside -8..8, an unknown colour, a probability outside
            0..1.

    Matches:
        The drawn ratio to 1e-3 dB, the spectral slope to 0.1 over two decades (tests/augment/test_noise.py).

    References:
        Colours are numbered as in torch-audiomentations' AddColoredNoise.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(torch.arange(16_000.0))
        >>> noise = ofs.augment.AddColoredNoise(snr_db=20.0)(tone) - tone
        >>> round(10 * torch.log10(tone.square().mean() / noise.square().mean()).item(), 2)
        20.0
    """

    by_rows = True

    def __init__(
        self,
        *,
        snr_db: float | tuple[float, float] = (5.0, 30.0),
        f_decay: float | tuple[float, float] | str = (-2.0, 2.0),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.snr_db = checks.span("AddColoredNoise", "snr_db", snr_db)
        if isinstance(f_decay, str):
            f_decay = COLOURS[checks.choice("AddColoredNoise", "f_decay", f_decay, COLOURS)]
        self.f_decay = checks.span("AddColoredNoise", "f_decay", f_decay, low=-8.0, high=8.0)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``snr_db``, ``f_decay`` (float64) and ``noise_key`` (int64), ``[B]`` each."""
        unit = self.uniform(ids, key, 5)
        high, low = (unit[:, 3:] * 2**26).long().unbind(-1)
        return {
            "active": unit[:, 0] < self.p,
            "snr_db": between(unit[:, 1], self.snr_db),
            "f_decay": between(unit[:, 2], self.f_decay),
            "noise_key": high * 2**26 + low,
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with noise in its active items."""
        active = column(params["active"], torch.bool).cpu()
        f_decay = column(params["f_decay"], torch.float64).cpu()
        keys, snr_db = column(params["noise_key"], torch.int64).cpu(), column(params["snr_db"], torch.float64)
        return batch._replace(data=add_colored_noise(batch.data, batch.lengths, f_decay, keys, snr_db, active))
