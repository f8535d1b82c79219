"""Augmentations that lay recordings under waveforms."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.banks import LOOP_FADE_S, Bank, check_match, checked_bank, look_up, pick
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.backgrounds import Stretches, add_backgrounds


class AddBackgroundNoise(Augment):
    """Adds a stretch of a drawn recording at a drawn signal-to-noise ratio.

    Recording, place in it and ratio are each item's own. Both powers are measured on the very samples that are added
    to each other, over the item's valid part: the ratio holds exactly. Silence stays silence, and a silent stretch adds
    nothing. A recording shorter than the item goes round: over 20 ms (half of it at most) its end fades into its start,
    with the power of unlike waves kept even.

    Args:
        bank: the recordings, a `WaveformBank` of one channel (the same noise in all channels of an item) or of as many
            as the batch has.
        snr_db: range in dB that the ratio of signal power to noise power is drawn from, evenly.
        p: probability that an item is changed.
        seed: makes two noises differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Left out of both powers; no noise goes there; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1; when called, a batch of another rate,
            channels or device than the bank.
        TypeError: no bank.

    Matches:
        The drawn ratio to 1e-3 dB, and the recording's own samples (tests/augment/test_background.py).

    References:
        AddBackgroundNoise of torch-audiomentations, with an own recording for each item.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> bank = ofs.WaveformBank([torch.randn(4_000), torch.randn(40_000)], rate=16_000)
        >>> tone = torch.sin(torch.arange(16_000.0))
        >>> noise = ofs.augment.AddBackgroundNoise(bank, snr_db=20.0)(tone) - tone
        >>> round(10 * torch.log10(tone.square().mean() / noise.square().mean()).item(), 2)
        20.0
    """

    by_rows = True

    def __init__(
        self, bank: Bank, *, snr_db: float | tuple[float, float] = (3.0, 30.0), p: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.bank = checked_bank("AddBackgroundNoise", bank)
        self.snr_db = checks.span("AddBackgroundNoise", "snr_db", snr_db)
        self.sample_rate = bank.rate

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, ``file`` (counts round), ``offset`` (a fraction) and ``snr_db``, ``[B]`` each."""
        unit = self.uniform(ids, key, 4)
        return {
            "active": unit[:, 0] < self.p,
            "file": pick(unit[:, 1], self.bank),
            "offset": unit[:, 2],
            "snr_db": between(unit[:, 3], self.snr_db),
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with a background under its active items."""
        check_match("AddBackgroundNoise", self.bank, batch)
        file, offset = column(params["file"], torch.int64), column(params["offset"], torch.float64)
        return _under(batch, params, self.bank, file.unsqueeze(-1), offset.unsqueeze(-1), torch.ones_like(file))


class Babble(Augment):
    """Adds the sum of several drawn recordings, all equally loud, at a drawn signal-to-noise ratio.

    With recordings of speech this is the murmur of a party. Each has its place and goes round where it is shorter than
    the item, as in `AddBackgroundNoise`; each is brought to the same power over the item before they are added. An item
    may get two places of one recording.

    Args:
        bank: the voices, a `WaveformBank` of one channel or of as many as the batch has.
        n_speakers: how many voices: a number, or (low, high), both possible, drawn evenly.
        snr_db: range in dB that the ratio of signal power to the power of the sum is drawn from, evenly.
        p: probability that an item is changed.
        seed: makes two babbles differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Left out of all powers; 0 past each length.

    Raises:
        ValueError: a range with low above high, fewer than one speaker, a probability outside 0..1; when called, a
            batch of another rate, channels or device than the bank.
        TypeError: no bank, or a number of speakers that is not whole.

    Matches:
        The drawn ratio to 1e-3 dB, and the sum of the recordings in numpy (tests/augment/test_background.py).

    References:
        Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", 2018: 3 to 7 speakers, 13 to 20 dB.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> voices = ofs.WaveformBank([torch.randn(16_000) for _ in range(9)], rate=16_000)
        >>> ofs.augment.Babble(voices, snr_db=15.0)(torch.randn(2, 8_000)).shape
        torch.Size([2, 8000])
    """

    by_rows = True

    def __init__(
        self,
        bank: Bank,
        *,
        n_speakers: int | tuple[int, int] = (3, 7),
        snr_db: float | tuple[float, float] = (13.0, 20.0),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.bank = checked_bank("Babble", bank)
        low, high = n_speakers if isinstance(n_speakers, tuple | list) and len(n_speakers) == 2 else (n_speakers,) * 2
        high = checks.integer("Babble", "n_speakers", high)
        self.n_speakers = checks.integer("Babble", "n_speakers", low, high=high), high
        self.snr_db = checks.span("Babble", "snr_db", snr_db)
        self.sample_rate = bank.rate

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, ``n_speakers``, ``snr_db``, ``[B]``; ``file`` (counts round), ``offset``, ``[B, k]``."""
        low, high = self.n_speakers
        unit = self.uniform(ids, key, 3 + 2 * high)
        return {
            "active": unit[:, 0] < self.p,
            "n_speakers": low + (unit[:, 1] * (high - low + 1)).long(),
            "snr_db": between(unit[:, 2], self.snr_db),
            "file": pick(unit[:, 3 : 3 + high], self.bank),
            "offset": unit[:, 3 + high :],
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with babble under its active items."""
        check_match("Babble", self.bank, batch)
        file, offset = column(params["file"], torch.int64), column(params["offset"], torch.float64)
        return _under(batch, params, self.bank, file, offset, column(params["n_speakers"], torch.int64))


def _under(batch: PaddedBatch, params: Params, bank: Bank, file: Tensor, offset: Tensor, counts: Tensor) -> PaddedBatch:
    """Returns the batch with stretches of these waves, ``[B, K]``, under its active items."""
    fade = round(LOOP_FADE_S * bank.rate)
    found = Stretches(bank.samples, *look_up(bank, file), offset, counts, bank.channels, fade)
    snr_db, active = column(params["snr_db"], torch.float64), column(params["active"], torch.bool)
    return batch._replace(data=add_backgrounds(batch.data, batch.lengths, found, snr_db, active))
