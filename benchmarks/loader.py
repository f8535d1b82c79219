"""Files to padded batches: AudioLoader against DataLoader, side by side over the same files and batches."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

import ontheflyspec as ofs
from benchmarks import sampler, timing

RATE = 16_000
SHORTEST_S, LONGEST_S = 1.0, 18.0
FLOORS = {"int16": 3.0, "float32": 2.0, "FLAC": 1.3}


class Files(Dataset[Any]):
    """What people write by hand: one soundfile.read a clip, float32."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(soundfile.read(self.paths[index], dtype="float32")[0])


def padded(waves: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the waves in one tensor, and their lengths."""
    return pad_sequence(waves, batch_first=True), torch.tensor([len(wave) for wave in waves])


def write(folder: Path, count: int, kind: str) -> list[str]:
    """Writes clips of 1 to 18 s of a wandering tone in noise and returns their paths."""
    random = np.random.default_rng(0)
    paths = []
    for place in range(count):
        frames = int(random.uniform(SHORTEST_S, LONGEST_S) * RATE)
        hertz = random.uniform(100, 400) * (1 + 0.3 * np.sin(2 * np.pi * np.arange(frames) / RATE))
        wave = 0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE) + 0.01 * random.standard_normal(frames)
        paths.append(str(folder / f"{place:05d}.{kind}"))
        soundfile.write(paths[-1], wave, RATE, subtype="PCM_16")
    return paths


def exhaust(batches: Iterable[Any]) -> None:
    """Runs through an epoch."""
    for _ in batches:
        pass


def error(ours: Iterable[Any], theirs: Iterable[Any]) -> float:
    """Returns the largest difference between the samples of two loaders, padding included."""
    worst = 0.0
    for batch, (data, lengths) in zip(ours, theirs, strict=True):
        if batch.lengths.tolist() != lengths.tolist():
            return float("inf")
        worst = max(worst, float((batch.to(dtype=torch.float32).data - data).abs().max()))
    return worst


def compare(kind: str, paths: list[str], threads: int, epochs: int) -> list[list[str]]:
    """Returns the rows of one kind of file."""
    clips = ofs.AudioDataset(paths, sample_rate=RATE, progress=False)
    plan = ofs.BucketBatchSampler(clips.lengths, max_samples=120 * RATE, seed=0)
    batches = [list(map(int, batch)) for batch in plan]
    peer: DataLoader[Any] = DataLoader(
        Files(paths), batch_sampler=batches, collate_fn=padded, num_workers=threads, persistent_workers=True
    )
    loaders: dict[str, Any] = {
        f"DataLoader, {threads} workers, soundfile, pad_sequence": peer,
        "AudioLoader, int16": ofs.AudioLoader(clips, batches, threads=threads, dtype=None),
        "AudioLoader, float32": ofs.AudioLoader(clips, batches, threads=threads),
    }
    runs: dict[str, Callable[[], None]] = {name: partial(exhaust, loader) for name, loader in loaders.items()}
    times = timing.rotate(runs, rounds=epochs)
    seconds = float(clips.lengths.sum()) / RATE
    reference = timing.median(times[next(iter(times))])
    rows = []
    for name, loader in loaders.items():
        middle = timing.median(times[name])
        floor = FLOORS["FLAC"] if kind == "flac" else FLOORS.get(name.split(", ")[1], 0.0)
        ours = loader is not peer
        rows.append(
            [
                f"{kind}: {name}",
                f"{1000 * middle:.0f} ms",
                timing.spread(times[name]),
                f"{seconds / middle:,.0f}",
                f"{reference / middle:.2f}",
                f"{floor:g}" if ours else "",
                f"{error(loader, peer):.1g}" if ours else "",
            ]
        )
    return rows


def main(arguments: list[str]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks loader", description=__doc__)
    parser.add_argument("--clips", type=int, default=512, help="files of each kind")
    parser.add_argument("--threads", type=int, default=2, help="threads of AudioLoader, workers of DataLoader")
    parser.add_argument("--epochs", type=int, default=9, help="timed epochs of each loader, after one to warm up")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(timing.header("From files to padded batches", ["torch", "numpy", "soundfile", "ontheflyspec"]))
    print(
        f"{options.clips} clips of {SHORTEST_S:g} to {LONGEST_S:g} s, {RATE} Hz, mono, 16 bit, in the page cache; "
        f"batches of at most 120 padded seconds, the same for all; {options.epochs} epochs each, in turn.\n"
    )
    rows = []
    for kind in ("wav", "flac"):
        with tempfile.TemporaryDirectory() as folder:
            rows += compare(kind, write(Path(folder), options.clips, kind), options.threads, options.epochs)
    columns = ["", "epoch (median)", "spread", "audio s/s", "times DataLoader", "floor", "largest error"]
    print(timing.table(columns, rows))
    print(sampler.table(options.epochs))
