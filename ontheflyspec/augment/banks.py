"""What augmentations ask of a bank of recorded waves, and how they look waves up."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import column, known_rate
from ontheflyspec.batch import PaddedBatch

LOOP_FADE_S = 0.02
"""Seconds over which the end of a recording that is too short fades into its start."""


class Bank(Protocol):
    """Recorded waves, packed; `ontheflyspec.WaveformBank` is one.

    ``samples`` is 1-D (int16 or float32): the channels of a wave one after the other, then the next wave. ``begins``
    and ``sizes``, int64, say where each wave begins there, and its samples per channel. All three move to devices
    together.
    """

    samples: Tensor
    begins: Tensor
    sizes: Tensor
    rate: float
    channels: int
    longest: int

    def __len__(self) -> int: ...


def checked_bank(where: str, bank: Any) -> Bank:
    """Returns a bank, or raises what lacks."""
    names = ("samples", "begins", "sizes", "rate", "channels", "longest", "__len__")
    if not all(hasattr(bank, name) for name in names):
        remedy = "Make one with ofs.WaveformBank, .from_folder or .from_paths."
        raise TypeError(checks.message(where, "a WaveformBank", type(bank).__name__, remedy))
    result: Bank = bank
    return result


def check_match(where: str, bank: Bank, batch: PaddedBatch) -> None:
    """Raises unless the waves of a bank fit a batch: rate, channels and device."""
    rate = known_rate(where, batch, f"a bank of {bank.rate:g} Hz")
    if rate != bank.rate:
        rule, got = f"a batch of {bank.rate:g} Hz, the rate of its bank", f"{rate:g} Hz"
        raise ValueError(checks.message(where, rule, got, "Resample the batch, or read the bank at its rate."))
    channels = batch.data.shape[1] if batch.data.dim() == 3 else 1
    if bank.channels not in (1, channels):
        rule, got = f"a batch of {bank.channels} channels, as its bank has", f"{channels}"
        raise ValueError(checks.message(where, rule, got, "Read the bank with mono=True."))
    if bank.samples.device != batch.data.device:
        rule, got = f"a bank on the device of the batch, {batch.data.device}", f"{bank.samples.device}"
        raise ValueError(
            checks.message(where, rule, got, f"Move the step or its chain: .to({str(batch.data.device)!r}).")
        )


def look_up(bank: Bank, files: Any) -> tuple[Tensor, Tensor]:
    """Returns ``begins`` and ``sizes`` of the waves at these places, on the bank's device, without waiting for it."""
    places = column(files, torch.int64).remainder(len(bank)).to(bank.sizes.device, non_blocking=True)
    return bank.begins[places], bank.sizes[places]


def pick(unit: Tensor, bank: Bank) -> Tensor:
    """Returns places in a bank, int64, evenly, for numbers in (0, 1)."""
    return (unit * len(bank)).long()
