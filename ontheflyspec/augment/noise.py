"""Additive noise at a signal-to-noise ratio: coloured noise, recorded backgrounds, babble, short noises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, integers, key, side_by_side, uniform
from ontheflyspec.augment.recorded import chosen, excerpt_ranges, further_ranges
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.backgrounds import Bursts, Excerpts, add_backgrounds, add_bursts, add_waves, take_excerpts
from ontheflyspec.functional.noises import add_colored_noise
from ontheflyspec.op import Edit, execute
from ontheflyspec.plans import Info
from ontheflyspec.recordings import LOOP_FADE_S, Bank, DiskBank, checked_bank

COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0, "violet": -2.0}
"""Named colours of noise and their exponents in ``power ~ 1 / f ** exponent``."""


class AddColoredNoise(Augment):
    """Coloured noise, added with a drawn spectral slope at a drawn signal-to-noise ratio.

    Both powers are measured, over the item's own valid samples and all its channels, on the very noise that is added:
    the ratio holds exactly. Noise samples differ between channels. Silence stays silence. The spectrum begins at
    ``rate / 4096`` (4 Hz at 16 kHz): there is no DC, and little inaudible rumble in brown noise.

    An item's noise depends on its draw alone and is equal on one type of device; a CPU and a GPU make unlike samples.
    If ids were moved to a device, the drawn keys come back to the host, which waits; leave ids there.

    Args:
        snr_db: range in dB that the ratio of signal power to noise power is drawn from.
        f_decay: range of the exponent in ``power ~ 1 / f ** f_decay``, within -8..8: 0 white, 1 pink, 2 brown,
            -1 blue, -2 violet; or one of these names.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Excluded from both powers; no noise goes there; 0 past each length.

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

    def __init__(
        self,
        *,
        snr_db: float | Span = (5.0, 30.0),
        f_decay: float | Span | str = (-2.0, 2.0),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.snr_db = checks.span("AddColoredNoise", "snr_db", snr_db)
        if isinstance(f_decay, str):
            f_decay = COLOURS[checks.choice("AddColoredNoise", "f_decay", f_decay, COLOURS)]
        self.f_decay = checks.span("AddColoredNoise", "f_decay", f_decay, low=-8.0, high=8.0)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``snr_db``, ``f_decay`` and ``noise_key``."""
        return {"snr_db": uniform(self.snr_db), "f_decay": uniform(self.f_decay), "noise_key": key()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that adds noise to the active items."""
        noise = {"f_decay": params["f_decay"], "keys": params["noise_key"], "snr_db": params["snr_db"]}
        return info.edit(add_colored_noise, params["active"], **noise)


class AddBackgroundNoise(Augment):
    """Background noise: adds a stretch of a drawn recording at a drawn signal-to-noise ratio.

    Recording, place in it and ratio are each item's own. Both powers are measured on the very samples that are added
    to each other, over the item's valid part: the ratio holds exactly. Silence stays silence, unless a level is given.
    Where a place of a recording holds zeros alone, another one is taken, of 8 that are drawn; a warning says once if
    all are silent. A recording shorter than the item is looped, with an equal-power crossfade from its end to its
    start over 20 ms (half of it at most).

    Args:
        bank: the recordings, a `WaveformBank` of one channel (the same noise in all channels of an item) or of as many
            as the batch has.
        snr_db: range in dB that the ratio of signal power to noise power is drawn from, uniformly; None for 3 to 30,
            or where a level is given.
        level_db: range that the root mean square of the noise is drawn from in dB of full scale, uniformly, whatever
            the signal; None for an SNR.
        noise_transform: steps that the noise goes through before it is added, such as a room or a filter; they keep
            its length.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Excluded from both powers; no noise goes there; 0 past each length.

    Raises:
        ValueError: a range with low above high, both an SNR and a level, a probability outside 0..1, a
            ``noise_transform`` of other lengths; when called, a batch of another rate, channels or device than the
            bank.
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

    def __init__(
        self,
        bank: Bank,
        *,
        snr_db: float | Span | None = None,
        level_db: float | Span | None = None,
        noise_transform: nn.Module | None = None,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        where = "AddBackgroundNoise"
        self.bank = checked_bank(where, bank)
        if snr_db is not None and level_db is not None:
            got = f"snr_db={snr_db} and level_db={level_db}"
            raise ValueError(checks.message(where, "snr_db or level_db", got, "Leave one of them out."))
        self.level_db = None if level_db is None else checks.span(where, "level_db", level_db)
        self.snr_db = None if self.level_db else checks.span(where, "snr_db", (3.0, 30.0) if snr_db is None else snr_db)
        if noise_transform is not None and getattr(noise_transform, "item_rank", None) != 1:
            rule, got = "a noise_transform of waves", type(noise_transform).__name__
            raise TypeError(checks.message(where, rule, got, "Pass a step or a chain of this package."))
        self.noise_transform: Any = noise_transform
        self.sample_rate = bank.rate

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``file``, position in the bank, of ``offset``, fraction of it, and of SNR or level."""
        loudness = {"snr_db": uniform(self.snr_db)} if self.snr_db is not None else {}
        if self.level_db is not None:
            loudness = {"level_db": uniform(self.level_db)}
        return {**excerpt_ranges(self.bank), **loudness, **further_ranges(self.bank)}

    def draw(self, items: Tensor | PaddedBatch, key: int | None = None) -> Params:
        """Returns the table that a call would draw, with that of ``noise_transform`` under this name."""
        table = super().draw(items, key)
        if hasattr(self.noise_transform, "draw") and not isinstance(items, PaddedBatch):
            own = rng.fold(rng.fold(0, self.seed) if key is None else key, int.from_bytes(b"noise", "big"))
            table["noise_transform"] = self.noise_transform.draw(items, own)
        return table

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that adds a recording to the active items."""
        file, offset = (params[name].unsqueeze(-1) for name in ("file", "offset"))
        excerpts = _excerpts(info, params, self.bank, file, offset, torch.ones_like(params["file"]))
        loudness = {name: params[name] for name in ("snr_db", "level_db") if name in params}
        if self.noise_transform is None:
            edit = info.edit(add_backgrounds, params["active"], excerpts=excerpts, **loudness)
            return edit._replace(once=isinstance(self.bank, DiskBank))
        noise = self._transformed(info, excerpts, params.get("noise_transform", {}))
        return info.edit(add_waves, params["active"], noise=noise, **loudness)._replace(once=True)

    def _transformed(self, info: Info, excerpts: Excerpts, table: Params) -> Tensor:
        """Returns the noise of all items after its own steps, ``[B, C, T]``."""
        shape = (info.shape[0], excerpts.waves.channels, info.size)
        blank = PaddedBatch(torch.zeros(shape, device=info.device), info.lengths, info.rate)
        batch, _ = execute({0: info.edit(take_excerpts, None, excerpts=excerpts)}, blank)
        step: Any = self.noise_transform
        made = step.replay(batch, table) if hasattr(step, "replay") else step(batch)
        if not isinstance(made, PaddedBatch) or made.data.shape != shape:
            rule, got = "a noise_transform that gives waves as long as its own", type(step).__name__
            raise ValueError(checks.message("AddBackgroundNoise", rule, got, "Use rooms, filters, gains and the like."))
        return made.data


class Babble(Augment):
    """Babble noise: adds the sum of several drawn recordings of equal power at a drawn signal-to-noise ratio.

    With recordings of speech this is the murmur of a party. Each recording has a start of its own and is looped if it
    is shorter than the item, as in `AddBackgroundNoise`; all are brought to the same power over the item before they
    are added. An item may get two stretches of one recording.

    Args:
        bank: the voices, a `WaveformBank` of one channel or of as many as the batch has.
        n_speakers: number of voices: one number, or (low, high), both possible, drawn uniformly.
        snr_db: range in dB that the ratio of signal power to the power of the sum is drawn from, uniformly.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Excluded from all powers; 0 past each length.

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

    def __init__(
        self,
        bank: Bank,
        *,
        n_speakers: int | tuple[int, int] = (3, 7),
        snr_db: float | Span = (13.0, 20.0),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.bank = checked_bank("Babble", bank)
        self.n_speakers = checks.integer_span("Babble", "n_speakers", n_speakers, low=1)
        self.snr_db = checks.span("Babble", "snr_db", snr_db)
        self.sample_rate = bank.rate

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``n_speakers``, ``snr_db``, ``file`` (positions in the bank) and ``offset`` (fractions)."""
        most = self.n_speakers[1]
        own = {"n_speakers": integers(self.n_speakers), "snr_db": uniform(self.snr_db)}
        return {**own, **excerpt_ranges(self.bank, most), **further_ranges(self.bank, most)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that adds the sum of voices to the active items."""
        excerpts = _excerpts(info, params, self.bank, params["file"], params["offset"], params["n_speakers"])
        edit = info.edit(add_backgrounds, params["active"], excerpts=excerpts, snr_db=params["snr_db"])
        return edit._replace(once=isinstance(self.bank, DiskBank))


class ShortNoises(Augment):
    """Adds several short noises, one after the other, with gaps between them.

    Each noise has a recording, a duration, a gap before it and a signal-to-noise ratio of its own. A recording that is
    longer than the drawn duration is cut at a drawn start, a shorter one is played whole. Noises rise and fall over
    ``fade_s`` by a quarter of a sine. A noise that reaches beyond the item is cut at its end.

    The ratio is that of the power of the whole item to the power of the noise over the time that it lasts, and holds
    exactly. Silence stays silence, and a silent noise adds nothing. Noises follow each other from the item's start
    until they come to its end or to ``max_noises``: they lie as densely in short items as in long ones.

    Args:
        bank: the noises, a `WaveformBank` of one channel (the same noise in all channels of an item) or of as many as
            the batch has.
        snr_db: range in dB that each ratio is drawn from, uniformly.
        gap_s: range in seconds that the time between two noises is drawn from, uniformly; the time before the first is
            drawn from 0 to the upper end.
        duration_s: range in seconds that the longest duration of each noise is drawn from, uniformly.
        fade_s: seconds over which a noise rises and falls, half of it at most.
        max_noises: largest number of noises in one item.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Excluded from the power; no noise goes there; 0 past each length.

    Raises:
        ValueError: a range with low above high, times below 0, no noises, a probability outside 0..1; when called, a
            batch of another rate, channels or device than the bank.
        TypeError: no bank.

    Matches:
        Noises added one by one in numpy, 1e-6 of the peak; each ratio to 1e-3 dB (tests/augment/test_bursts.py).

    References:
        AddShortNoises of audiomentations, without its bursts.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> clicks = ofs.WaveformBank([torch.randn(800) for _ in range(5)], rate=16_000)
        >>> wave = torch.randn(80_000)
        >>> changed = ofs.augment.ShortNoises(clicks, gap_s=1.0)(wave) != wave
        >>> int(changed.sum()) in (3_200, 4_000)
        True
    """

    def __init__(
        self,
        bank: Bank,
        *,
        snr_db: float | Span = (0.0, 24.0),
        gap_s: float | Span = (0.5, 4.0),
        duration_s: float | Span = (0.1, 1.0),
        fade_s: float = 0.02,
        max_noises: int = 16,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.bank = checked_bank("ShortNoises", bank)
        self.snr_db = checks.span("ShortNoises", "snr_db", snr_db)
        self.gap_s = checks.span("ShortNoises", "gap_s", gap_s, low=0.0)
        self.duration_s = checks.span("ShortNoises", "duration_s", duration_s, low=0.0)
        self.fade_s = checks.number("ShortNoises", "fade_s", fade_s, low=0.0)
        self.max_noises = checks.integer("ShortNoises", "max_noises", max_noises)
        self.sample_rate = bank.rate

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``file`` (positions in the bank), ``offset`` (fractions of them) and of the options."""
        count = self.max_noises
        return {
            **excerpt_ranges(self.bank, count),
            # An item may begin anywhere between two noises, so the gap before the first one may be shorter.
            "gap_s": side_by_side([uniform((0.0, self.gap_s[1])), *[uniform(self.gap_s)] * (count - 1)]),
            "duration_s": uniform(self.duration_s, count),
            "snr_db": uniform(self.snr_db, count),
            **further_ranges(self.bank, count),
        }

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that adds the noises to the active items."""
        rate, file = self.bank.rate, params["file"]
        fade = round(self.fade_s * rate)
        gaps, durations = (torch.round(params[name] * rate).long() for name in ("gap_s", "duration_s"))
        durations = durations.clamp(min=1)
        wanted = params["active"].unsqueeze(-1).expand_as(file)
        waves, offset = chosen(info, self.bank, params, file, params["offset"], durations, wanted)
        bursts = Bursts(waves, offset, gaps, durations, params["snr_db"], fade)
        return info.edit(add_bursts, params["active"], bursts=bursts)._replace(once=isinstance(self.bank, DiskBank))


def _excerpts(info: Info, params: Params, bank: Bank, file: Tensor, offset: Tensor, counts: Tensor) -> Excerpts:
    """Returns excerpts of a bank's waves, as long as the items.

    Args:
        info: of the batch.
        params: the table.
        bank: the waves.
        file: int64 ``[B, K]``, positions in the bank, counting round.
        offset: float64 ``[B, K]`` in (0, 1), where in its wave each excerpt begins.
        counts: int64 ``[B]``, how many of the K excerpts each item gets.
    """
    numbers = torch.arange(file.shape[1], device=counts.device)
    wanted = params["active"].unsqueeze(-1) & (numbers < counts.unsqueeze(-1))
    spans = info.lengths.unsqueeze(-1).expand_as(file)
    waves, offset = chosen(info, bank, params, file, offset, spans, wanted)
    return Excerpts(waves, offset, counts, round(LOOP_FADE_S * bank.rate))
