"""Constant-Q transforms on the fly, against installed peers, and an hour of audio in one call."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import ontheflyspec as ofs
from benchmarks import exact, memory
from benchmarks.peers import peer
from benchmarks.timing import SETTLE, median, rotate, share_of_peak, spread, table

CLIPS, SECONDS, HOP = 8, 10.0, 512
HOUR_RATE, HOUR_S = 22_050, 3600


class Bins(NamedTuple):
    """A configuration; what a peer is built with."""

    rate: int
    fmin: float
    count: int
    per_octave: int


CONFIGURATIONS = (Bins(22_050, 32.703, 84, 12), Bins(44_100, 27.5, 88, 12), Bins(22_050, 32.703, 264, 36))


def ours(bins: Bins, filters: str = "librosa") -> Any:
    return ofs.CQT(
        sample_rate=bins.rate,
        hop_length=HOP,
        fmin=bins.fmin,
        n_bins=bins.count,
        bins_per_octave=bins.per_octave,
        output="magnitude",
        filters=filters,
    )


def nnaudio(bins: Bins, package: str, name: str) -> Any:
    module = peer(f"{package}.features")
    if module is None:
        return None
    return getattr(module, name)(
        sr=bins.rate,
        hop_length=HOP,
        fmin=bins.fmin,
        n_bins=bins.count,
        bins_per_octave=bins.per_octave,
        pad_mode="constant",
        verbose=False,
    )


def librosa(bins: Bins) -> Callable[[Tensor], Tensor] | None:
    module = peer("librosa")
    if module is None:
        return None
    options = {"n_bins": bins.count, "bins_per_octave": bins.per_octave}

    def transform(x: Tensor) -> Tensor:
        return torch.from_numpy(
            np.abs(module.cqt(x.numpy(), sr=bins.rate, hop_length=HOP, fmin=bins.fmin, **options)),
        )

    return transform


# Name in the table: whose filters, and what makes it.
MAKERS: dict[str, tuple[str, Callable[[Bins], Any]]] = {
    "ontheflyspec": ("librosa", ours),
    "ontheflyspec, nnAudio's filters": ("nnaudio", lambda bins: ours(bins, "nnaudio")),
    "nnAudio CQT1992v2": ("nnaudio", lambda bins: nnaudio(bins, "nnAudio", "CQT1992v2")),
    "nnAudio CQT2010v2": ("nnaudio", lambda bins: nnaudio(bins, "nnAudio", "CQT2010v2")),
    "nnaudio2 CQT1992v2": ("nnaudio", lambda bins: nnaudio(bins, "nnAudio2", "CQT1992v2")),
    "nnaudio2 CQT2010v2": ("nnaudio", lambda bins: nnaudio(bins, "nnAudio2", "CQT2010v2")),
    "librosa": ("librosa", librosa),
}


def reference(x: Tensor, bins: Bins, filters: str) -> Tensor:
    """Returns all frames of the direct transform in float64."""
    waves = list(x.numpy())
    places = [np.arange(1 + len(wave) // HOP) for wave in waves]
    options = {"rate": bins.rate, "hop": HOP, "fmin": bins.fmin, "bins": bins.count, "per_octave": bins.per_octave}
    return torch.from_numpy(np.stack(exact.cqt(waves, places, filters=filters, **options)))


def prepared(name: str, bins: Bins) -> Callable[[], Any]:
    """Returns the call whose memory is measured."""
    transform = MAKERS[name][1](bins)
    transform(torch.randn(1, bins.rate))
    x = torch.randn(CLIPS, int(bins.rate * SECONDS))
    return lambda: transform(x)


def state_bytes(transform: Any) -> int | None:
    """Returns the bytes that a checkpoint takes, None for what is no module."""
    if not isinstance(transform, torch.nn.Module):
        return None
    return sum(value.numel() * value.element_size() for value in transform.state_dict().values())


def run(bins: Bins, rounds: int) -> str:
    """Returns the table of one configuration."""
    x = torch.randn(CLIPS, int(bins.rate * SECONDS), generator=torch.Generator().manual_seed(0))
    transforms, built = {}, {}
    for package in ("nnAudio.features", "nnAudio2.features", "librosa"):
        peer(package)
    for name, (_, make) in MAKERS.items():
        start = time.perf_counter()
        transform = make(bins)
        built[name] = 1000 * (time.perf_counter() - start)
        if transform is not None:
            transforms[name] = transform
    wanted = {filters: reference(x, bins, filters) for filters in ("librosa", "nnaudio")}
    errors = {name: share_of_peak(call(x), wanted[MAKERS[name][0]]) for name, call in transforms.items()}
    functions = {name: (lambda call=call: call(x)) for name, call in transforms.items()}
    times = rotate(functions, rounds=rounds, settle=SETTLE)
    best = median(times["ontheflyspec"])
    rows = []
    for name, taken in times.items():
        use, state = memory.measure(prepared, name, bins), state_bytes(transforms[name])
        rows.append(
            (
                name,
                f"{1000 * median(taken):.1f}",
                spread(taken),
                f"{median(taken) / best:.2f}",
                errors[name],
                "" if state is None else f"{built[name]:.0f}",
                "" if state is None else f"{state:,}",
                "" if use is None else f"{use.peak:.0f}",
            )
        )
    columns = ("", "median ms", "spread", "times ours", "error", "constructor ms", "state_dict bytes", "extra MiB")
    output = CLIPS * bins.count * (1 + x.shape[1] // HOP) * 4 / memory.MIB
    return (
        f"### CQT, {CLIPS} clips of {SECONDS:g} s at {bins.rate} Hz, hop {HOP}, {bins.count} bins from "
        f"{bins.fmin:g} Hz, {bins.per_octave} an octave\n\nOutput: {output:.0f} MiB of magnitudes of white noise. "
        "Error: largest difference at any frame from the direct transform in float64 with the same filters (librosa's "
        f"or nnAudio's), as a share of the peak. Median of {rounds} calls. Extra MiB: at the peak.\n\n"
        f"{table(columns, rows)}"
    )


HOUR: dict[str, Callable[[], Any]] = {
    "CQT, hop 512, 84 bins": lambda: ours(CONFIGURATIONS[0]),
    "log-mel, 2048/512/128": lambda: ofs.Compose(
        [ofs.MelSpectrogram(sample_rate=HOUR_RATE, n_fft=2048, hop_length=512, n_mels=128), ofs.AmplitudeToDB()]
    ),
}


def prepared_hour(name: str) -> Callable[[], Any]:
    """Returns the call on an hour of audio."""
    transform = HOUR[name]()
    transform(torch.randn(HOUR_RATE))
    x = torch.randn(HOUR_RATE * HOUR_S)
    return lambda: transform(x)


def hour() -> str:
    """Returns the table of an hour in one call, each in a process of its own."""
    rows = []
    for name in HOUR:
        use = memory.measure(prepared_hour, name)
        if use is not None:
            spare = use.peak - use.output
            speed = f"{HOUR_S / use.seconds:,.0f}"
            rows.append((name, f"{use.seconds:.1f}", speed, f"{use.output:.0f}", f"{spare:.0f}"))
    size = HOUR_RATE * HOUR_S * 4 / memory.MIB
    columns = ("", "one call, s", "audio s/s", "output MiB", "MiB at the peak besides input and output")
    return f"### one hour at {HOUR_RATE} Hz in one call\n\nInput: {size:.0f} MiB.\n\n{table(columns, rows)}"


def tables(options: argparse.Namespace) -> None:
    """Prints all tables."""
    with torch.no_grad():
        for bins in CONFIGURATIONS:
            print(run(bins, max(2 * options.rounds // 3, 3)), flush=True)
    print(hour(), flush=True)
