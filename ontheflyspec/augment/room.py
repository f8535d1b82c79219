"""Augmentations that put waveforms into rooms: recorded responses and made-up ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.banks import Bank, check_match, checked_bank, look_up, pick
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.convolution import Response, convolve_items
from ontheflyspec.functional.rooms import reverberation_samples, room_responses


class ApplyImpulseResponse(Augment):
    """Convolves each item with a drawn impulse response, of a room or of a device.

    The delay of the direct path is taken out: the largest sample of the response comes to lie at time 0, and what
    stands before it acts ahead of time. The level is kept: responses have energy 1 (over all their samples, the mean of
    their channels), so white noise keeps its power, and other sounds change as far as the response colours them.

    Args:
        bank: the responses, a `WaveformBank` of one channel (for all channels of an item) or of as many as the batch
            has.
        tail: let what rings on after an item's end make it longer, instead of cutting it there.
        p: probability that an item is changed.
        seed: makes two draws differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; with ``tail`` T is longer, see `output_lengths`; one draw an
        item over all its channels.

    Padding:
        Left out; with ``tail`` an item rings on into it. 0 past each length.

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

    by_rows = True

    def __init__(self, bank: Bank, *, tail: bool = False, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.bank = checked_bank("ApplyImpulseResponse", bank)
        self.tail = bool(tail)
        self.sample_rate = bank.rate
        peaks, gains = [], []
        for begin, size in zip(bank.begins.tolist(), bank.sizes.tolist(), strict=True):
            response = bank.samples[begin : begin + bank.channels * size].double().view(bank.channels, size)
            peaks.append(int(response.abs().amax(0).argmax()))
            gains.append(float(response.square().sum(1).mean()) ** -0.5)
        self._peaks = torch.tensor(peaks, device="cpu")
        self._gains = torch.tensor(gains, dtype=torch.float64, device="cpu")
        self._tails = bank.sizes.cpu() - 1 - self._peaks
        self._lead, self._tail = max(peaks), int(self._tails.max())

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``file`` (int64, counts round), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "file": pick(unit[:, 1], self.bank)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with its active items convolved."""
        check_match("ApplyImpulseResponse", self.bank, batch)
        file, active = column(params["file"], torch.int64), column(params["active"], torch.bool)
        ends, size = self.output_lengths(batch.lengths, params), batch.data.shape[-1]
        if self.tail and size:
            known = ends.device.type == "cpu" and not torch.compiler.is_compiling()
            size = max(ends.tolist(), default=0) if known else size + self._tail
        data = convolve_items(
            batch.data,
            batch.lengths,
            ends,
            size,
            active,
            lambda rows: [self._response(place) for place in (file[rows] % len(self.bank)).tolist()],
            lambda: self._responses(file, batch.data),
        )
        return batch._replace(data=data, lengths=ends)

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns samples out for samples in; with ``tail``, for a table of `draw` unless all responses ring alike."""
        if not self.tail or (params is None and not self.training):
            return lengths
        if params is None:
            tails = {*self._tails.tolist(), *([0] if self.p < 1 else [])}
            if len(tails) > 1:
                rule, got = "the table of a draw, as responses ring on for unlike times", "none"
                raise ValueError(checks.message("ApplyImpulseResponse", rule, got, "Pass params=step.draw(ids)."))
            return lengths + tails.pop() * (lengths > 0)
        rings = _of(self._tails, column(params["file"], torch.int64)) * column(params["active"], torch.bool)
        if isinstance(lengths, Tensor):
            rings = rings.to(lengths.device, non_blocking=True)
        return lengths + rings * (lengths > 0)

    def _response(self, place: int) -> Response:
        begin, size, channels = int(self.bank.begins[place]), int(self.bank.sizes[place]), self.bank.channels
        response = self.bank.samples[begin : begin + channels * size].view(channels, size)
        return Response(response, float(self._gains[place]), int(self._peaks[place]))

    def _responses(self, file: Tensor, like: Tensor) -> tuple[Tensor, int]:
        """Returns the responses of all items with their peaks at one place, ``[B, C, m]``, and that place."""
        begins, sizes = (values[:, None, None] for values in look_up(self.bank, file))
        peaks, gains = (
            _of(values, file).to(like.device, non_blocking=True)[:, None, None] for values in (self._peaks, self._gains)
        )
        place = torch.arange(self._lead + 1 + self._tail, device=like.device) - self._lead + peaks
        inside = (place >= 0) & (place < sizes)
        channel = torch.arange(self.bank.channels, device=like.device)[:, None] * sizes
        found = self.bank.samples[begins + channel + torch.where(inside, place, 0)]
        return torch.where(inside, found.to(like.dtype) * gains.to(like.dtype), 0), self._lead


class SimulateRoom(Augment):
    """Puts each item into a room of its own: a direct path, then white noise that decays exponentially.

    The energy of the response falls by 60 dB in the drawn reverberation time, exactly, and ends there; early echoes,
    colour and decays that differ between frequencies are not modelled. The direct path has no delay. The response has
    energy 1: white noise keeps its power. What rings on after an item's end is cut.

    An item's room depends on its draw alone and is equal on one type of device; a CPU and a GPU make unlike rooms. If
    ids were moved to a device, the drawn keys come back to the host, which waits; leave ids there.

    Args:
        rt60_s: range of the reverberation time in seconds, drawn evenly; 0.001 at least.
        drr_db: range in dB of the energy of the direct path over that of the reverberation, drawn evenly.
        p: probability that an item is changed.
        seed: makes two rooms differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one room an item, with one response for all its channels.

    Padding:
        Left out; 0 past each length.

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

    by_rows = True

    def __init__(
        self,
        *,
        rt60_s: float | tuple[float, float] = (0.1, 0.8),
        drr_db: float | tuple[float, float] = (-6.0, 12.0),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.rt60_s = checks.span("SimulateRoom", "rt60_s", rt60_s, low=0.001)
        self.drr_db = checks.span("SimulateRoom", "drr_db", drr_db)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``rt60_s``, ``drr_db`` (float64) and ``noise_key`` (int64), ``[B]`` each."""
        unit = self.uniform(ids, key, 5)
        high, low = (unit[:, 3:] * 2**26).long().unbind(-1)
        return {
            "active": unit[:, 0] < self.p,
            "rt60_s": between(unit[:, 1], self.rt60_s),
            "drr_db": between(unit[:, 2], self.drr_db),
            "noise_key": high * 2**26 + low,
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with its active items in their rooms."""
        rate, data, lengths = known_rate("SimulateRoom", batch, "a reverberation time"), batch.data, batch.lengths
        rt60 = column(params["rt60_s"], torch.float64).cpu() * rate
        drr_db, keys = column(params["drr_db"], torch.float64).cpu(), column(params["noise_key"], torch.int64).cpu()
        active = column(params["active"], torch.bool).cpu()

        def some(rows: list[int]) -> list[Response]:
            ends = zip(rt60[rows].tolist(), lengths[rows].tolist(), strict=True)
            sizes = [min(reverberation_samples(seconds), n) for seconds, n in ends]
            made = room_responses(data, rt60[rows], drr_db[rows], keys[rows], active[rows], max(sizes))
            return [Response(one[:size].unsqueeze(0), 1.0, 0) for one, size in zip(made, sizes, strict=True)]

        def every() -> tuple[Tensor, int]:
            compiling = torch.compiler.is_compiling()
            longest = self.rt60_s[1] * rate if compiling else max(rt60.tolist(), default=1.0)
            size = reverberation_samples(longest)
            return room_responses(data, rt60, drr_db, keys, active, size).unsqueeze(1), 0

        return batch._replace(data=convolve_items(data, lengths, lengths, data.shape[-1], active, some, every))


def _of(values: Tensor, places: Tensor) -> Tensor:
    """Returns host values at places in a bank, where the places are."""
    return values.to(places.device, non_blocking=True)[places.remainder(values.shape[0])]
