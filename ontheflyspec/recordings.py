"""Banks of recorded waves, as augmentations see them: packed layout, look-up by position, match with a batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.kept import count_up

LOOP_FADE_S = 0.02
"""Seconds over which the end of a recording that is too short fades into its start."""


@runtime_checkable
class Bank(Protocol):
    """Interface of a bank of recorded waves in packed memory; `ontheflyspec.WaveformBank` is one.

    ``samples`` is 1-D (int16 or float32): the channels of a wave one after the other, then the next wave. ``begins``
    and ``sizes``, int64, say where each wave begins there, and its samples per channel; both are best left on the host.
    A module with buffers of these names derives from this class: from Python 3.12 on ``isinstance`` does not
    see buffers.
    """

    samples: Tensor
    begins: Tensor
    sizes: Tensor
    rate: float
    channels: int
    longest: int

    def __len__(self) -> int: ...


@runtime_checkable
class DiskBank(Protocol):
    """Interface of a bank whose recordings lie on disk: ``samples`` holds none, excerpts are read as they are drawn."""

    def excerpts(self, file: Tensor, offsets: Tensor, spans: Tensor, wanted: Tensor) -> tuple[Waves, Tensor]:
        """Returns excerpts as waves that begin where they do, and whether each is heard.

        Args:
            file: int64 ``[B, K]``, positions, counting round.
            offsets: float64 ``[B, K, tries]`` in (0, 1), to try one after the other until an excerpt is heard.
            spans: int64 ``[B, K]``, samples of each excerpt; a shorter recording comes whole.
            wanted: bool ``[B, K]``, which ones are read.
        """
        ...


def silent_runs(samples: Tensor, begins: Tensor, sizes: Tensor, channels: int) -> Tensor:
    """Returns first samples and ends of the runs of zeros in packed waves, int64 ``[2, R]``, counted per channel.

    Runs of less than 8 samples, which are common in soft sounds, are left out.
    """
    first, last = list[Tensor](), list[Tensor]()
    for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True):
        sounding = samples[begin : begin + channels * size].view(channels, size).ne(0).any(0)
        place = torch.cat([sounding.new_ones(1), sounding, sounding.new_ones(1)]).nonzero().squeeze(-1)
        long = (place.diff() > 8).nonzero().squeeze(-1)
        first.append(place[long] + begin // channels)
        last.append(place[long + 1] - 1 + begin // channels)
    return torch.stack([torch.cat(first), torch.cat(last)])


def beginnings(bank: Bank, sizes: Sequence[int]) -> Bank:
    """Returns a bank of the first samples of each wave.

    Args:
        bank: of the waves.
        sizes: most samples of each.
    """
    waves = look_up(bank, torch.arange(len(bank), device="cpu"))
    whole = zip(waves.begins.tolist(), waves.sizes.tolist(), sizes, strict=True)
    parts = [waves.one(begin, size)[:, :most] for begin, size, most in whole]
    counts = torch.tensor([part.shape[1] for part in parts], device="cpu")
    twin = copy.deepcopy(bank)
    twin.samples = torch.cat([part.flatten() for part in parts])
    twin.sizes, twin.begins = counts, (counts.cumsum(0) - counts) * bank.channels
    twin.longest = int(counts.max())
    return twin


def checked_bank(where: str, bank: Any) -> Bank:
    """Returns ``bank``, or raises unless it is a `Bank`."""
    if not isinstance(bank, Bank):
        remedy = "Make one with ofs.WaveformBank, .from_folder or .from_paths."
        raise TypeError(checks.message(where, "a WaveformBank", type(bank).__name__, remedy))
    return bank


def check_match(where: str, bank: Bank, rate: float, channels: int, device: torch.device | None) -> None:
    """Raises unless a bank has the rate, the channels (or one) and the device of a batch.

    Args:
        where: name that errors begin with.
        bank: the waves.
        rate: of the batch, in Hz.
        channels: of the batch.
        device: of its data.
    """
    if rate != bank.rate:
        rule, got = f"a batch of {bank.rate:g} Hz, the rate of its bank", f"{rate:g} Hz"
        raise ValueError(checks.message(where, rule, got, "Resample the batch, or read the bank at its rate."))
    if bank.channels not in (1, channels):
        rule, got = f"a batch of {bank.channels} channels, as its bank has", f"{channels}"
        raise ValueError(checks.message(where, rule, got, "Read the bank with mono=True."))
    if bank.samples.device != device:
        rule, got = f"a bank on the device of the batch, {device}", f"{bank.samples.device}"
        raise ValueError(checks.message(where, rule, got, f"Move the step or its chain: .to({str(device)!r})."))


class Waves(NamedTuple):
    """Waves chosen from a `Bank`.

    Args:
        samples: of the whole bank, 1-D.
        begins: where each chosen wave begins there, int64 ``[B]`` or ``[B, K]``.
        sizes: samples of each chosen wave per channel, likewise.
        channels: of each wave.
    """

    samples: Tensor
    begins: Tensor
    sizes: Tensor
    channels: int

    def one(self, begin: int, size: int) -> Tensor:
        """Returns the wave ``[C, size]`` that begins at sample ``begin`` of the bank, a view."""
        return self.samples[begin : begin + self.channels * size].view(self.channels, size)

    def read(self, begins: Tensor, sizes: Tensor, places: Tensor) -> Tensor:
        """Returns samples ``[B, C, N]`` of waves.

        Args:
            begins: where the waves begin, int64 ``[B, 1]`` or ``[B, N]``.
            sizes: samples of the waves per channel, likewise.
            places: samples to read, counted from the begin of each wave, int64 ``[B, N]``.
        """
        first = (begins + places).unsqueeze(1)
        if self.channels == 1:
            return self.samples[first]
        return self.samples[first + count_up(self.channels, places.device).unsqueeze(-1) * sizes.unsqueeze(1)]


def look_up(bank: Bank, files: Tensor) -> Waves:
    """Returns the waves at positions ``files``, modulo the bank's size, on its device and without waiting for it."""
    places = files.remainder(len(bank)).to(bank.sizes.device, non_blocking=True)
    return Waves(bank.samples, bank.begins[places], bank.sizes[places], bank.channels)
