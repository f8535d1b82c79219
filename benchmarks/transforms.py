"""``python -m benchmarks transforms``: log-mel spectrograms and CQT on the fly, against installed peers."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ontheflyspec as ofs
from benchmarks import cqt, exact, memory
from benchmarks.peers import peer
from benchmarks.timing import SETTLE, header, median, rotate, share_of_peak, spread, table

PACKAGES = ("torch", "numpy", "ontheflyspec", "torchaudio", "nnAudio", "nnaudio2", "torchlibrosa", "librosa")
CONFIGURATIONS = ((16_000, 400, 160, 80), (22_050, 1024, 256, 80), (22_050, 2048, 512, 128))
Transform = Callable[[Tensor], Tensor]


def ours(rate: int, n_fft: int, hop: int, mels: int) -> Transform:
    return ofs.Compose(
        [
            ofs.MelSpectrogram(sample_rate=rate, n_fft=n_fft, hop_length=hop, n_mels=mels),
            ofs.AmplitudeToDB(),
        ]
    )


def torchaudio(rate: int, n_fft: int, hop: int, mels: int) -> Transform | None:
    module = peer("torchaudio.transforms")
    if module is None:
        return None
    options = {"n_fft": n_fft, "hop_length": hop, "n_mels": mels, "norm": "slaney", "mel_scale": "slaney"}
    return torch.nn.Sequential(module.MelSpectrogram(rate, **options), module.AmplitudeToDB())


def nnaudio(package: str) -> Callable[[int, int, int, int], Transform | None]:
    def make(rate: int, n_fft: int, hop: int, mels: int) -> Transform | None:
        module = peer(f"{package}.features")
        if module is None:
            return None
        mel = module.MelSpectrogram(sr=rate, n_fft=n_fft, hop_length=hop, n_mels=mels, verbose=False)
        return lambda x: 10 * torch.log10(mel(x).clamp(min=1e-10))

    return make


def torchlibrosa(rate: int, n_fft: int, hop: int, mels: int) -> Transform | None:
    module = peer("torchlibrosa.stft")
    if module is None:
        return None
    spectrogram = module.Spectrogram(n_fft=n_fft, hop_length=hop)
    logmel = module.LogmelFilterBank(sr=rate, n_fft=n_fft, n_mels=mels, fmin=0, fmax=rate / 2, top_db=None)
    return lambda x: logmel(spectrogram(x))[:, 0].transpose(1, 2)


def librosa(rate: int, n_fft: int, hop: int, mels: int) -> Transform | None:
    module = peer("librosa")
    if module is None:
        return None
    options = {"sr": rate, "n_fft": n_fft, "hop_length": hop, "n_mels": mels, "pad_mode": "reflect"}

    def transform(x: Tensor) -> Tensor:
        rows = (module.power_to_db(module.feature.melspectrogram(y=row.numpy(), **options), top_db=None) for row in x)
        return torch.from_numpy(np.stack(list(rows)))

    return transform


MAKERS: dict[str, Callable[[int, int, int, int], Transform | None]] = {
    "ontheflyspec": ours,
    "torchaudio": torchaudio,
    "nnAudio": nnaudio("nnAudio"),
    "nnaudio2": nnaudio("nnAudio2"),
    "torchlibrosa": torchlibrosa,
    "librosa": librosa,
}


def reference(x: Tensor, rate: int, n_fft: int, hop: int, mels: int) -> Tensor:
    """Returns mel power spectrograms in float64."""
    return torch.from_numpy(np.stack([exact.mel(row, rate, n_fft, hop, mels) for row in x.numpy()]))


def error(log_mel: Tensor, wanted: Tensor) -> str:
    """Returns the largest difference of the powers, as a share of the peak."""
    return share_of_peak(10 ** (log_mel.double() / 10), wanted.clamp(min=1e-10))


def prepared(name: str, configuration: tuple[int, int, int, int], clips: int, seconds: float) -> Callable[[], Tensor]:
    """Returns the call whose memory is measured."""
    transform = MAKERS[name](*configuration)
    assert transform is not None
    rate = configuration[0]
    transform(torch.randn(1, rate))
    x = torch.randn(clips, int(rate * seconds))
    return lambda: transform(x)


def run(configuration: tuple[int, int, int, int], options: argparse.Namespace) -> str:
    """Returns the table of one configuration."""
    rate, n_fft, hop, mels = configuration
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(options.clips, int(rate * options.seconds), generator=generator)
    transforms = {name: made for name, maker in MAKERS.items() if (made := maker(*configuration)) is not None}
    functions = {name: (lambda call=call: call(x)) for name, call in transforms.items()}
    half = x.shape[1] // 2
    full = ofs.PaddedBatch(x, torch.full((len(x),), x.shape[1]), rate)
    padded = ofs.PaddedBatch(x, torch.full((len(x),), half), rate)
    own: Any = transforms["ontheflyspec"]
    functions |= {"ontheflyspec, full batch": lambda: own(full), "ontheflyspec, half padding": lambda: own(padded)}
    wanted = reference(x, *configuration)
    errors = {name: error(call(x), wanted) for name, call in transforms.items()}
    times = rotate(functions, rounds=options.rounds, warmup=2, settle=SETTLE)
    best = median(times["ontheflyspec"])
    rows = []
    for name, taken in times.items():
        known = name in transforms
        use = memory.measure(prepared, name, configuration, options.clips, options.seconds) if known else None
        rows.append(
            (
                name,
                f"{1000 * median(taken):.1f}",
                spread(taken),
                f"{median(taken) / best:.2f}",
                errors.get(name, ""),
                "" if use is None else f"{use.peak:.0f}",
            )
        )
    frames = 1 + x.shape[1] // hop
    heading = (
        f"### log-mel, {len(x)} clips of {options.seconds:g} s at {rate} Hz, n_fft {n_fft}, hop {hop}, {mels} bands\n\n"
        f"Output: {len(x) * mels * frames * 4 / 2**20:.0f} MiB. Error: largest difference of the powers from float64, "
        "as a share of the peak.\n"
    )
    share = median(times["ontheflyspec, half padding"]) / median(times["ontheflyspec, full batch"])
    body = table(("", "median ms", "spread", "times ours", "error", "extra MiB at the peak"), rows)
    return f"{heading}\n{body}\nA half-padded batch costs {share:.2f} of a full one.\n"


def main(arguments: list[str]) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks transforms", description=__doc__)
    parser.add_argument("--clips", type=int, default=32, help="clips in a batch (default 32)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip (default 10)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds (default 15)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(header("Transforms", PACKAGES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for configuration in CONFIGURATIONS:
            print(run(configuration, options), flush=True)
        cqt.tables(options)
