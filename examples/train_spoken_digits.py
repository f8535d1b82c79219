"""Trains a small network on audio files, on the fly: files in, augmented log-mel batches out, nothing cached.

    python examples/train_spoken_digits.py                     # the spoken digits beside this script
    python examples/train_spoken_digits.py --data FOLDER       # your own clips, one sub-folder a class

The clips that the network is judged by are those of the voices in FOLDER/held_out.txt (names of files, without their
endings) if there is such a file, otherwise a fifth of each class.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import soundfile
import torch
from meters import Clock, DiskMeter, shown
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

import ontheflyspec as ofs

DIGITS = Path(__file__).parent / "spoken_digits"
N_MELS = 64
BATCH_SECONDS = 20  # padded audio in a training batch
JUDGED_SECONDS = 30  # of a clip in validation


class Network(nn.Module):
    """Convolutions over time, then mean and maximum over each clip's own frames.

    The mask keeps padding out of every layer, so what is said about a clip does not depend on its batch mates.
    """

    def __init__(self, n_classes: int, width: int = 96) -> None:
        super().__init__()
        shapes = [(N_MELS, 2, 1), (width, 2, 1), (width, 1, 1), (width, 1, 2)]  # channels in, stride, dilation
        self.layers = nn.ModuleList(
            nn.Conv1d(n_in, width, 5, stride=stride, padding=2 * dilation, dilation=dilation, bias=False)
            for n_in, stride, dilation in shapes
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in shapes)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, n_classes))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns ``[B, classes]`` for features ``[B, N_MELS, N]`` and their mask ``[B, N]``."""
        valid = mask.unsqueeze(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            valid = valid[..., :: layer.stride[0]]
            y = F.relu(norm(layer(x))) * valid
            x = x + y if layer.stride == (1,) else y
        mean = x.sum(-1) / valid.sum(-1)
        top = x.masked_fill(~valid, -math.inf).amax(-1)
        return self.head(torch.cat([mean, top], 1))


def load_data(args: argparse.Namespace) -> tuple[ofs.AudioDataset, ofs.AudioDataset, str]:
    """Returns the clips to train on, those to be judged by, and in words how they were told apart."""
    rate = args.sample_rate or most_frequent_rate(args.data)
    options = {"sample_rate": rate, "on_error": "skip"}  # unreadable files are left out and named
    clips = ofs.AudioDataset.from_folder(args.data, max_seconds=args.max_seconds, **options)  # parts drawn anew
    whole = ofs.AudioDataset.from_folder(args.data, max_seconds=JUDGED_SECONDS, crop="start", **options)
    if clips.classes is None or len(clips.classes) < 2:
        got = "none" if clips.classes is None else f"only {clips.classes[0]!r}"
        raise ValueError(
            f"expected at least 2 classes, one sub-folder each, in {args.data}, got {got}. Add sub-folders."
        )
    for failure in clips.failures:
        print(f"left out {failure.path}: {failure.reason}")

    listed = args.data / "held_out.txt"
    if listed.exists():
        voices = set(listed.read_text().splitlines())
        held_out = [Path(path).stem in voices for path in clips.paths]
        train = clips.subset([place for place, held in enumerate(held_out) if not held])
        valid = whole.subset([place for place, held in enumerate(held_out) if held])
        if not len(train) or not len(valid):
            raise ValueError(f"{listed}: expected some clips named and some not, got {len(valid)} of {len(clips)}.")
        return train, valid, f"of {len(voices)} voices held out"
    train, _ = clips.split(0.8, seed=args.seed)
    _, valid = whole.split(0.8, seed=args.seed)
    return train, valid, "of a random fifth of each class (speakers are not held out)"


def most_frequent_rate(folder: Path) -> int:
    """Returns the sample rate in Hz that most files have."""
    clips = ofs.AudioDataset.from_folder(folder, sample_rate=16_000, on_error="skip")
    return Counter(soundfile.info(path).samplerate for path in clips.paths).most_common(1)[0][0]


def make_front_end(train: ofs.AudioDataset, args: argparse.Namespace) -> ofs.Compose:
    """Returns all that happens between a file's samples and the network, for a whole batch at once."""
    rate = train.sample_rate
    log_mel = [
        ofs.MelSpectrogram(
            sample_rate=rate, n_fft=2 ** round(math.log2(0.03 * rate)), hop_length=rate // 100, n_mels=N_MELS
        ),
        ofs.AmplitudeToDB(),
    ]
    # Mean and deviation of each band, found once over the clips as they are.
    once = ofs.BucketBatchSampler(train.lengths, max_samples=budget(train), shuffle=False)
    normalize = ofs.Normalize(per="global").fit(
        ofs.AudioLoader(train, once, transform=ofs.Compose(log_mel), threads=args.threads)
    )
    return ofs.Compose(
        [
            ofs.augment.Gain(gain_db=(-6.0, 6.0)),
            ofs.augment.AddColoredNoise(snr_db=(15.0, 40.0), p=0.5),
            ofs.augment.TimeShift(shift_s=(-0.05, 0.05), p=0.5),
            *log_mel,
            normalize,
            ofs.augment.SpecAugment(time_mask_param=10, freq_mask_param=8),
        ],
        seed=args.seed,
    ).to(args.device)


def budget(clips: ofs.AudioDataset) -> int:
    """Returns the samples of a padded batch: the same work whether clips are short or long."""
    return max(BATCH_SECONDS * clips.sample_rate, int(clips.lengths.max()))


def train_network(
    network: Network, loader: ofs.AudioLoader, epochs: int, clock: Clock, disk: DiskMeter, peak_lr: float = 3e-3
) -> None:
    """Trains and shows a progress bar."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak_lr, weight_decay=0.01)
    network.train()
    with tqdm(total=epochs * len(loader.dataset), unit=" clips", file=disk.console) as bar:
        disk.begin()
        for epoch in range(epochs):
            for batch, target in clock.batches(loader):  # each pass is the next epoch, augmented anew
                # The learning rate rises during the first tenth, then falls as a half cosine.
                done = bar.n / bar.total
                optimizer.param_groups[0]["lr"] = peak_lr * min(0.05 + 10 * done, (1 + math.cos(math.pi * done)) / 2)
                logits = network(batch.data, batch.mask())
                loss = F.cross_entropy(logits, target.to(logits.device), label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.update(len(target))
            bar.set_postfix(epoch=f"{epoch + 1}/{epochs}", loss=f"{loss.item():.2f}")


@torch.no_grad()
def judge(network: Network, loader: ofs.AudioLoader, n_classes: int) -> tuple[float, float]:
    """Returns accuracy, and the mean of the classes' accuracies."""
    network.eval()
    counts = torch.zeros(n_classes, n_classes)  # true class, class said
    for batch, target in loader:
        said = network(batch.data, batch.mask()).argmax(1).cpu()
        counts.index_put_((target, said), torch.ones(len(said)), accumulate=True)
    right, all_clips = counts.diagonal(), counts.sum(1)
    heard = all_clips > 0
    return (right.sum() / all_clips.sum()).item(), (right[heard] / all_clips[heard]).mean().item()


def save_plot(path: Path, clips: ofs.AudioDataset, augmented: ofs.Compose, plain: ofs.Compose) -> None:
    """Draws four clips, from the shortest to the longest, as the network sees them."""
    order = clips.lengths.argsort()
    picks = [int(order[round(place)]) for place in torch.linspace(0, len(order) - 1, 4).tolist()]
    batch, target = ofs.collate([clips[ofs.Draw(pick, epoch=0)] for pick in picks])
    rows = {"plain": plain(batch), "augmented": augmented(batch)}
    titles = [clips.classes[index] for index in target.tolist()]
    ofs.plot_batch(rows, front_end=augmented, titles=titles).savefig(path, dpi=120)


def at_least(low: float, kind: type) -> Callable[[str], float]:
    """Returns what reads a number from the command line."""

    def number(text: str) -> float:
        value = kind(text)
        if not low <= value < math.inf:
            raise argparse.ArgumentTypeError(f"expected at least {low}, got {text}")
        return value

    return number


def device(text: str) -> torch.device:
    """Returns a device that works, from the command line."""
    try:
        return torch.empty(0, device=text).device
    except (AssertionError, RuntimeError) as problem:
        raise argparse.ArgumentTypeError(str(problem).splitlines()[0]) from None


def options() -> argparse.Namespace:
    """Returns what was asked for on the command line."""
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=DIGITS, metavar="FOLDER", help="audio files, one sub-folder a class")
    add(
        "--sample-rate",
        type=at_least(2000, int),
        metavar="HZ",
        help="of all clips (default: the rate that most files have)",
    )
    add(
        "--max-seconds",
        type=at_least(0.1, float),
        default=4.0,
        metavar="S",
        help="of a clip, trained on at once (default: 4)",
    )
    add(
        "--epochs",
        type=at_least(1, int),
        metavar="N",
        help="passes through the clips (default: 20 on the shipped digits, else 40)",
    )
    add("--seed", type=int, default=0, metavar="N", help="of split, order, augmentation and weights (default: 0)")
    add("--device", type=device, default=best, help="where features are made and learnt from (default: %(default)s)")
    add(
        "--threads",
        type=at_least(1, int),
        default=1,
        metavar="N",
        help="that read and compute (default: 1, enough here)",
    )
    add("--save-plot", type=Path, metavar="FILE", help="draw four inputs, plain and augmented (needs matplotlib)")
    args = parser.parse_args()
    args.epochs = args.epochs or (20 if args.data == DIGITS else 40)
    if args.save_plot and find_spec("matplotlib") is None:
        parser.error("--save-plot needs matplotlib: pip install matplotlib")
    if args.save_plot and not args.save_plot.parent.is_dir():
        parser.error(f"--save-plot: no folder {args.save_plot.parent}")
    return args


def main() -> None:
    args = options()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    try:
        train, valid, chosen = load_data(args)
        front_end = make_front_end(train, args)
        plain = copy.deepcopy(front_end).eval()  # the same without augmentation
        if args.save_plot:
            save_plot(args.save_plot, train, front_end, plain)
    except (OSError, ValueError) as problem:
        print(f"{Path(__file__).name}: {problem}", file=sys.stderr)
        sys.exit(2)
    seconds = train.lengths.sum() / train.sample_rate
    print(f"{len(train)} clips to train on, {seconds:.0f} s at {train.sample_rate} Hz in {len(train.classes)} classes")
    print(f"{len(valid)} clips to be judged by, {chosen}")

    sampler = ofs.BucketBatchSampler(train.lengths, max_samples=budget(train), seed=args.seed)
    in_order = ofs.BucketBatchSampler(valid.lengths, max_samples=budget(valid), shuffle=False)
    here = {"device": args.device, "threads": args.threads}
    loader = ofs.AudioLoader(train, sampler, transform=front_end, **here)
    valid_loader = ofs.AudioLoader(valid, in_order, transform=plain, **here)

    network = Network(len(train.classes)).to(args.device)
    clock, disk = Clock(front_end), DiskMeter()
    train_network(network, loader, args.epochs, clock, disk)
    written = disk.written()
    accuracy, balanced = judge(network, valid_loader, len(train.classes))

    done, share = args.epochs / clock.total_s, 100 / clock.total_s
    print(f"trained {args.epochs} epochs in {clock.total_s:.1f} s", end=": ")
    print(f"{done * len(train):.0f} clips/s, {done * seconds:.0f} audio seconds/s")
    print(f"waited for data {share * clock.waited_s:.0f} % of the time", end=" ")
    print(f"(front end {share * clock.front_end_s:.0f} %, files {share * (clock.waited_s - clock.front_end_s):.0f} %)")
    print(f"bytes written to disk: {shown(written)}")
    print(f"accuracy {accuracy:.1%}, balanced accuracy {balanced:.1%} on {len(valid)} clips {chosen}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
