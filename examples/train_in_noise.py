"""Trains the spoken digits twice, without augmentation and with it, and shows how well each is heard in noise.

    python examples/train_in_noise.py                          # prints a table
    python examples/train_in_noise.py --save-plot noise.png    # and draws it

Both networks begin with the same weights and see the same clips in the same order. They are judged by voices that they
never heard, amid the chatter of such voices and the hum of machines, neither of which the training has.
"""

from __future__ import annotations

import argparse
import math
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from meters import Clock, DiskMeter
from torch import Tensor
from train_spoken_digits import DIGITS, N_MELS, Network, budget, judge, train_network

import ontheflyspec as ofs

RATE = 16_000
LEVELS_DB = (None, 10.0, 5.0, 0.0)  # signal-to-noise ratios to be judged at; None: without noise


def load_clips() -> tuple[ofs.AudioDataset, ofs.AudioDataset]:
    """Returns the clips to train on, and those of other voices to be judged by."""
    clips = ofs.AudioDataset.from_folder(DIGITS, sample_rate=RATE, progress=False)
    voices = set((DIGITS / "held_out.txt").read_text().splitlines())
    held_out = [Path(path).stem in voices for path in clips.paths]
    train = clips.subset([place for place, held in enumerate(held_out) if not held])
    return train, clips.subset([place for place, held in enumerate(held_out) if held])


def bank_of(clips: ofs.AudioDataset) -> ofs.WaveformBank:
    """Returns all waves of a data set."""
    return ofs.WaveformBank([clips[place][0].wave for place in range(len(clips))], rate=RATE)


def strange_noises(voices: ofs.WaveformBank) -> ofs.WaveformBank:
    """Returns noises to be judged in: machines with tones and beats of their own, and eight voices at once."""
    draws = torch.Generator().manual_seed(99)
    times = torch.arange(4 * RATE) / RATE
    noises: list[Tensor] = []
    for _ in range(8):
        low, beat, *phases = torch.rand(9, generator=draws).tolist()
        pitch = 2 * math.pi * (60 + 90 * low)
        tones = [torch.sin(pitch * k * times + 6.3 * phase) / k for k, phase in enumerate(phases, 1)]
        hiss = torch.randn(len(times), generator=draws) * 0.3
        noises.append((sum(tones) + hiss) * (1 + 0.5 * torch.sin(2 * math.pi * (1 + 6 * beat) * times)))
    chatter = ofs.augment.Babble(voices, n_speakers=8, snr_db=0.0, seed=99)
    hush = 1e-3 * torch.randn(8, len(times), generator=draws)
    batch = ofs.PaddedBatch(hush, torch.full((8,), len(times)), RATE, torch.arange(8))
    noises += list(chatter(batch).data - hush)
    return ofs.WaveformBank([noise / noise.abs().max() for noise in noises], rate=RATE)


def front_ends(train: ofs.AudioDataset, seed: int) -> tuple[ofs.Compose, ofs.Compose]:
    """Returns the features as they are, and the chain that makes them of augmented audio."""
    log_mel = [ofs.MelSpectrogram(sample_rate=RATE, n_fft=512, hop_length=160, n_mels=N_MELS), ofs.AmplitudeToDB()]
    normalize = ofs.Normalize(per="item")  # noise lifts the floor: each clip is measured by itself
    augment = ofs.augment
    chain = [
        augment.Gain(gain_db=(-6.0, 6.0)),
        augment.TimeShift(shift_s=(-0.05, 0.05), p=0.5),
        augment.SimulateRoom(rt60_s=(0.1, 0.4), p=0.3),
        ofs.OneOf(
            [
                augment.AddColoredNoise(snr_db=(-3.0, 20.0), f_decay=(-1.0, 2.0)),
                augment.Babble(bank_of(train), n_speakers=(1, 6), snr_db=(-3.0, 20.0)),
            ],
            p=0.9,
        ),
    ]
    masks = augment.SpecAugment(time_mask_param=8, freq_mask_param=8)
    return ofs.Compose([*log_mel, normalize]), ofs.Compose([*chain, *log_mel, normalize, masks], seed=seed)


def options() -> argparse.Namespace:
    """Returns what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--epochs", type=int, default=25, metavar="N", help="passes through the clips (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="of order, augmentation and weights (default: 0)")
    add("--threads", type=int, default=1, metavar="N", help="that read and compute (default: 1)")
    add("--save-plot", type=Path, metavar="FILE", help="draw the table (needs matplotlib)")
    args = parser.parse_args()
    if args.epochs < 1 or args.threads < 1:
        parser.error("--epochs and --threads: expected at least 1")
    if args.save_plot and find_spec("matplotlib") is None:
        parser.error("--save-plot needs matplotlib: pip install matplotlib")
    if args.save_plot and not args.save_plot.parent.is_dir():
        parser.error(f"--save-plot: no folder {args.save_plot.parent}")
    return args


def save_plot(path: Path, found: dict[str, list[float]]) -> None:
    """Draws accuracy over noise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in found.items():
        axes.plot(
            range(len(values)), [100 * value for value in values], marker="o", label=f"trained {name} augmentation"
        )
    axes.set_xticks(range(len(LEVELS_DB)), ["clean", *(f"{level:g} dB" for level in LEVELS_DB[1:])])
    axes.set(xlabel="signal-to-noise ratio", ylabel="accuracy on unheard voices, %", ylim=(0, 102))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    args = options()
    torch.set_num_threads(args.threads)
    train, valid = load_clips()
    plain, augmented = front_ends(train, args.seed)
    noises = strange_noises(bank_of(valid))
    print(f"{len(train)} clips to train on, {len(valid)} clips of other voices to be judged by, {args.epochs} epochs")
    found: dict[str, list[float]] = {}
    for name, front_end in (("without", plain), ("with", augmented)):
        torch.manual_seed(args.seed)
        network = Network(len(train.classes))
        sampler = ofs.BucketBatchSampler(train.lengths, max_samples=budget(train), seed=args.seed)
        loader = ofs.AudioLoader(train, sampler, transform=front_end, threads=args.threads)
        train_network(network, loader, args.epochs, Clock(front_end), DiskMeter())
        found[name] = []
        for level in LEVELS_DB:
            noise = [] if level is None else [ofs.augment.AddBackgroundNoise(noises, snr_db=level, seed=7)]
            in_order = ofs.BucketBatchSampler(valid.lengths, max_samples=budget(valid), shuffle=False)
            heard = ofs.AudioLoader(valid, in_order, transform=ofs.Compose([*noise, plain]), threads=args.threads)
            found[name].append(judge(network, heard, len(train.classes))[0])
    print(f"{'trained':>22}" + "".join(f"{'clean' if level is None else f'{level:g} dB':>9}" for level in LEVELS_DB))
    for name, values in found.items():
        print(f"{name + ' augmentation':>22}" + "".join(f"{value:>9.1%}" for value in values))
    if args.save_plot:
        save_plot(args.save_plot, found)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
