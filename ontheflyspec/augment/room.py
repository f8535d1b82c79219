"""Reverberation: convolution with recorded impulse responses, and with synthetic decaying noise."""

from __future__ import annotations

import torch

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, key, place, uniform
from ontheflyspec.functional.convolution import Responses, convolve_items
from ontheflyspec.functional.rooms import Rooms
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info
from ontheflyspec.recordings import Bank, DiskBank, beginnings, checked_bank, look_up

EARLY_S = 0.05
"""Seconds after the direct path that count as early."""


class ApplyImpulseResponse(Augment):
    """Convolution of each item with a drawn impulse response, of a room or of a device.

    The delay of the direct path is removed: the largest sample of the response lies at time 0, and the samples before
    it at negative times. The level is kept: responses have energy 1 (over all their samples, the mean of
    their channels), so white noise keeps its power, and other sounds change as far as the response colours them.

    Args:
        bank: the responses, a `WaveformBank` of one channel (for all channels of an item) or of as many as the batch
            has.
        part: ``"whole"``, or ``"early"`` for the direct path and what follows within 50 ms of it, at the level that it
            has in the whole response: with the same draws the target of a model that removes reverberation.
        tail: whether the reverberation after an item's end makes it longer; if not, it is cut there.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; with ``tail`` T is longer, see `output_lengths`; one draw an
        item over all its channels.

    Padding:
        Ignored; with ``tail`` the reverberation of an item enters it. 0 past each length.

    Raises:
        ValueError: a probability outside 0..1; when called, a batch of another rate, channels or device than the bank.
        TypeError: no bank.

    Matches:
        scipy.signal.fftconvolve of each item alone, 1e-6 of the peak (tests/augment/test_room.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> rooms = ofs.WaveformBank([torch.tensor([0.0, 0.8, 0.0, 0.6])], rate=16_000)
        >>> ofs.augment.ApplyImpulseResponse(rooms)(torch.tensor([1.0, 0.5, 0.0, -1.0])).mul(10).round()
        tensor([ 8.,  4.,  6., -5.])
    """

    def __init__(self, bank: Bank, *, part: str = "whole", tail: bool = False, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.bank = checked_bank("ApplyImpulseResponse", bank)
        if isinstance(bank, DiskBank):
            remedy = 'Build the bank with keep="memory".'
            raise TypeError(checks.message("ApplyImpulseResponse", "responses in memory", "a bank on disk", remedy))
        early = checks.choice("ApplyImpulseResponse", "part", part, ("whole", "early")) == "early"
        self.tail = self.changes_lengths = checks.flag("ApplyImpulseResponse", "tail", tail)
        self.sample_rate = bank.rate
        peaks, gains, waves = [], [], look_up(bank, torch.arange(len(bank), device="cpu"))
        for begin, size in zip(waves.begins.tolist(), waves.sizes.tolist(), strict=True):
            response = waves.one(begin, size).double()
            peaks.append(int(response.abs().amax(0).argmax()))
            gains.append(float(response.square().sum(1).mean()) ** -0.5)
        if early:
            self.bank = beginnings(bank, [peak + 1 + round(EARLY_S * bank.rate) for peak in peaks])
        at = torch.tensor(peaks, device="cpu")
        rings = self.bank.sizes.cpu() - 1 - at
        self._before, self._after = max(peaks), int(rings.max())
        # Samples before each peak, factors, samples after each peak.
        self._columns = (at, torch.tensor(gains, dtype=torch.float64, device="cpu"), rings)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``file``, position of the response in the bank, modulo its size."""
        return {"file": place(len(self.bank))}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that convolves the active items; lengths alone need no sample of the bank."""
        file, active = params["file"], params["active"]
        ends, size, place = info.lengths, info.size, file.remainder(len(self.bank))
        peaks, gains, rings = (column.to(file.device, non_blocking=True)[place] for column in self._columns)
        if self.tail:
            ends = ends + (rings * active).to(ends.device, non_blocking=True) * (ends > 0)
        if self.tail and size:
            known = ends.device.type == "cpu" and not torch.compiler.is_compiling()
            size = int(ends.max()) if known else size + self._after
        edit = info.edit(convolve_items, active)._replace(lengths=ends, size=size)
        if len(info.shape) == 1:
            return edit
        responses = Responses(info.waves(self.bank, file), peaks, gains, self._before, self._after)
        return edit._replace(options={"responses": responses, "ends": ends, "size": size})


class SimulateRoom(Augment):
    """Synthetic reverberation: convolves each item with a direct path and white noise that decays exponentially.

    The energy of the response falls by 60 dB in the drawn reverberation time, exactly, and ends there; early echoes,
    colour and decays that differ between frequencies are not modelled. The direct path has no delay. The response has
    energy 1: white noise keeps its power. Reverberation after an item's end is cut.

    An item's room depends on its draw alone and is equal on one type of device; a CPU and a GPU make unlike rooms. If
    ids were moved to a device, the drawn keys come back to the host, which waits; leave ids there.

    Args:
        rt60_s: range of the reverberation time in seconds, drawn uniformly; 0.001 at least.
        drr_db: range in dB of the energy of the direct path over that of the reverberation, drawn uniformly.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one room an item, with one response for all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, a time below 0.001 s, a probability outside 0..1; when called, a batch
            without a rate.

    Matches:
        The drawn reverberation time by Schroeder's integration to 2 %, the drawn ratio to 0.01 dB
        (tests/augment/test_room.py).

    References:
        Schroeder, "New method of measuring reverberation time", 1965; Polack's model of late reverberation, 1988.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.eye(1, 8_000)[0]], rate=16_000)
        >>> response = ofs.augment.SimulateRoom(rt60_s=0.25, drr_db=0.0)(batch).data[0]
        >>> round(response[0].item(), 3), int(response.abs().gt(1e-6).sum())
        (0.707, 4001)
    """

    def __init__(
        self, *, rt60_s: float | Span = (0.1, 0.8), drr_db: float | Span = (-6.0, 12.0), p: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.rt60_s = checks.span("SimulateRoom", "rt60_s", rt60_s, low=0.001)
        self.drr_db = checks.span("SimulateRoom", "drr_db", drr_db)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``rt60_s``, ``drr_db`` and ``noise_key``."""
        return {"rt60_s": uniform(self.rt60_s), "drr_db": uniform(self.drr_db), "noise_key": key()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that convolves the active items with responses of decaying noise."""
        rate = info.known_rate("a reverberation time")
        rooms = Rooms(params["rt60_s"] * rate, params["drr_db"], params["noise_key"], self.rt60_s[1] * rate)
        return info.edit(convolve_items, params["active"], responses=rooms, ends=info.lengths, size=info.size)
