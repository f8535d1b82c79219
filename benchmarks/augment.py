"""``python -m benchmarks augment``: chains of augmentations, pitch, tempo and masks, against installed peers."""

from __future__ import annotations

import argparse
import functools
import math
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

import ontheflyspec as ofs
from benchmarks.peers import peer
from benchmarks.timing import SETTLE, header, median, rotate, spread, table

PACKAGES = ("torch", "ontheflyspec", "torch-audiomentations", "torchaudio", "librosa")
RATE, CLIPS, SECONDS = 16_000, 16, 5.0
SNR_DB, F_DECAY, CUTOFF_HZ, SHIFT_S, GAIN_DB = (3.0, 30.0), (-2.0, 2.0), (150.0, 7_500.0), (-0.5, 0.5), (-18.0, 6.0)
SEMITONES, TEMPO = (-4.0, 4.0), (0.8, 1.25)
Function = Callable[[], Any]


def waves() -> Tensor:
    """Returns clips that sound a little like speech: harmonics that come and go over noise."""
    draws = torch.Generator().manual_seed(0)
    times = torch.arange(int(RATE * SECONDS)) / RATE
    pitch = 100 + 100 * torch.rand(CLIPS, 1, generator=draws)
    voice = sum(torch.sin(2 * torch.pi * pitch * k * times) / k for k in range(1, 20))
    loud = torch.sin(2 * torch.pi * 2 * times + torch.rand(CLIPS, 1, generator=draws)).clamp(min=0)
    return 0.1 * voice * loud + 0.001 * torch.randn(CLIPS, len(times), generator=draws)


def write_banks(folder: Path) -> tuple[Path, Path]:
    """Writes ten noises of 8 s and ten responses of 0.3 s, and returns their folders."""
    draws = np.random.default_rng(0)
    noises, responses = folder / "noises", folder / "responses"
    for kind, seconds, decay in ((noises, 8.0, 0.0), (responses, 0.3, 20.0)):
        kind.mkdir()
        size = int(seconds * RATE)
        for place in range(10):
            wave = draws.standard_normal(size) * np.exp(-decay * np.arange(size) / RATE) * 0.1
            soundfile.write(kind / f"{place}.wav", wave.astype(np.float32), RATE, subtype="PCM_16")
    return noises, responses


def torch_audiomentations(*, keep: bool = False) -> Any:
    """Returns the package, None without it; its own reader no longer works, soundfile takes its place.

    Args:
        keep: whether files stay in memory once they were read, which the package does not do.
    """
    torchaudio = peer("torchaudio")
    module = peer("torch_audiomentations")
    if torchaudio is None or module is None:
        return None
    kept: dict[str, Tensor] = {}

    def load(path: str, frame_offset: int = 0, num_frames: int = -1, **_: Any) -> tuple[Tensor, int]:
        if keep:
            if path not in kept:
                kept[path] = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
            return kept[path][:, frame_offset : None if num_frames < 0 else frame_offset + num_frames], RATE
        wave, rate = soundfile.read(path, num_frames, frame_offset, dtype="float32", always_2d=True)
        return torch.from_numpy(wave.T), rate

    def info(path: str) -> SimpleNamespace:
        if keep and path in kept:
            return SimpleNamespace(num_frames=kept[path].shape[1], sample_rate=RATE)
        header = soundfile.info(path)
        return SimpleNamespace(num_frames=header.frames, sample_rate=header.samplerate)

    torchaudio.load, torchaudio.info = load, info
    return module


def reading(chain: Any) -> Callable[[Tensor], Any]:
    """Returns a call of their chain with its reader put in place first."""
    torchaudio = peer("torchaudio")
    load, info = torchaudio.load, torchaudio.info

    def call(waves: Tensor) -> Any:
        torchaudio.load, torchaudio.info = load, info
        return chain(waves)

    return call


def our_chain(noises: Path, responses: Path) -> Any:
    augment = ofs.augment
    return ofs.Compose(
        [
            augment.Gain(gain_db=GAIN_DB),
            augment.AddColoredNoise(snr_db=SNR_DB, f_decay=F_DECAY),
            augment.AddBackgroundNoise(ofs.WaveformBank.from_folder(noises, sample_rate=RATE), snr_db=SNR_DB),
            augment.ApplyImpulseResponse(ofs.WaveformBank.from_folder(responses, sample_rate=RATE)),
            augment.LowPass(cutoff_hz=CUTOFF_HZ),
            augment.TimeShift(shift_s=SHIFT_S),
        ]
    )


def their_chain(module: Any, noises: Path, responses: Path) -> Any:
    common = {"p": 1.0, "sample_rate": RATE, "output_type": "tensor"}
    low, high = SNR_DB
    return module.Compose(
        [
            module.Gain(*GAIN_DB, **common),
            module.AddColoredNoise(low, high, *F_DECAY, **common),
            module.AddBackgroundNoise(noises, low, high, **common),
            module.ApplyImpulseResponse(responses, compensate_for_propagation_delay=True, **common),
            module.LowPassFilter(*CUTOFF_HZ, **common),
            module.Shift(*SHIFT_S, shift_unit="seconds", **common),
        ],
        output_type="tensor",
    )


def full(x: Tensor) -> ofs.PaddedBatch:
    """Returns a batch of full items with ids."""
    ids = torch.arange(len(x))
    return ofs.PaddedBatch(x, torch.full((len(x),), x.shape[-1]), RATE, ids)


def frequency(wave: Tensor) -> float:
    """Returns Hz of the tone in the middle of a wave: the peak of a long spectrum, by a parabola through logarithms."""
    n = 1 << 15
    middle = wave[len(wave) // 2 - n // 2 :][:n].double() * torch.hann_window(n, dtype=torch.float64)
    power = torch.fft.rfft(middle, n=8 * n).abs().log()
    place = int(power[10:-10].argmax()) + 10
    left, top, right = power[place - 1 : place + 2].tolist()
    return (place + 0.5 * (left - right) / (left - 2 * top + right)) * RATE / (8 * n)


def pitch_error(shift: Callable[[Tensor], tuple[Tensor, list[float]]]) -> str:
    """Returns the largest error in cents on tones of 440 Hz."""
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(int(RATE * SECONDS)) / RATE).expand(CLIPS, -1).contiguous()
    out, ratios = shift(tone)
    errors = [1200 * abs(math.log2(frequency(row) / (440 * ratio))) for row, ratio in zip(out, ratios, strict=True)]
    return f"{max(errors):.1f} cents"


def chains(x: Tensor, folder: Path) -> tuple[dict[str, Function], dict[str, str]]:
    banks = write_banks(folder)
    batch, mine = full(x), our_chain(*banks)
    functions: dict[str, Function] = {"ontheflyspec": lambda: mine(batch)}
    waves = x.unsqueeze(1)
    for name, keep in (("torch-audiomentations", False), ("torch-audiomentations, files kept in memory", True)):
        module = torch_audiomentations(keep=keep)
        if module is not None:
            functions[name] = functools.partial(reading(their_chain(module, *banks)), waves)
    return functions, {}


def pitches(x: Tensor, folder: Path) -> tuple[dict[str, Function], dict[str, str]]:  # noqa: ARG001
    batch, mine = full(x), ofs.augment.PitchShift(semitones=SEMITONES)
    functions: dict[str, Function] = {"ontheflyspec": lambda: mine(batch)}

    def ours(tone: Tensor) -> tuple[Tensor, list[float]]:
        drawn = mine.draw(full(tone).ids)["semitones"].tolist()
        return mine(full(tone)).data, [2 ** (semitones / 12) for semitones in drawn]

    quality = {"ontheflyspec": pitch_error(ours)}
    module = torch_audiomentations()
    if module is not None:
        name = "torch-audiomentations"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = module.PitchShift(*SEMITONES, p=1.0, sample_rate=RATE, output_type="tensor")
        waves = x.unsqueeze(1)
        functions[name] = lambda: other(waves)

        def theirs(tone: Tensor) -> tuple[Tensor, list[float]]:
            out = other(tone.unsqueeze(1))[:, 0]
            return out, [float(ratio) for ratio in other.transform_parameters["transpositions"]]

        quality[name] = f"{pitch_error(theirs)}, {len(other._fast_shifts)} ratios to choose from"
    return functions, quality


def tempos(x: Tensor, folder: Path) -> tuple[dict[str, Function], dict[str, str]]:  # noqa: ARG001
    batch, mine = full(x), ofs.augment.TimeStretch(rate=TEMPO)
    functions: dict[str, Function] = {"ontheflyspec": lambda: mine(batch)}
    rates = mine.draw(batch.ids)["rate"].tolist()
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(x.shape[1]) / RATE).expand(CLIPS, -1).contiguous()

    def quality_of(out: list[Tensor]) -> str:
        cents = max(1200 * abs(math.log2(frequency(row) / 440)) for row in out)
        tempo = max(abs(len(row) * rate / x.shape[1] - 1) for row, rate in zip(out, rates, strict=True))
        return f"{cents:.1f} cents, tempo {100 * tempo:.2f} %"

    quality = {"ontheflyspec": quality_of(mine(full(tone)).unpad())}
    librosa = peer("librosa")
    if librosa is not None:

        def loop(waves: Tensor) -> list[Tensor]:
            rows = zip(waves.numpy(), rates, strict=True)
            return [torch.from_numpy(librosa.effects.time_stretch(row, rate=rate)) for row, rate in rows]

        functions["librosa, one by one"] = lambda: loop(x)
        quality["librosa, one by one"] = quality_of(loop(tone))
    return functions, quality


def masks(x: Tensor, folder: Path) -> tuple[dict[str, Function], dict[str, str]]:  # noqa: ARG001
    features = ofs.MelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=80)(full(x))
    mine = ofs.augment.SpecAugment(time_mask_param=40, freq_mask_param=15, fill="zero")
    functions: dict[str, Function] = {"ontheflyspec": lambda: mine(features)}
    module = peer("torchaudio.transforms")
    if module is not None:
        times, bands = module.TimeMasking(40, iid_masks=True), module.FrequencyMasking(15, iid_masks=True)
        data = features.data.unsqueeze(1)
        functions["torchaudio, each item its own"] = lambda: bands(bands(times(times(data))))
        whole = module.TimeMasking(40), module.FrequencyMasking(15)
        functions["torchaudio, all items alike"] = lambda: whole[1](whole[1](whole[0](whole[0](features.data))))
    return functions, {}


TABLES = {
    "gain, coloured noise, background noise, impulse response, low-pass, shift": chains,
    f"PitchShift, {SEMITONES[0]:g} to {SEMITONES[1]:g} semitones": pitches,
    f"TimeStretch, {TEMPO[0]:g} to {TEMPO[1]:g} times as fast": tempos,
    "SpecAugment, two masks of frames and two of bands": masks,
}


def run(title: str, rounds: int) -> str:
    """Returns one table."""
    with tempfile.TemporaryDirectory() as folder:
        functions, quality = TABLES[title](waves(), Path(folder))
        times = rotate(functions, rounds=rounds, settle=SETTLE)
    best = median(times["ontheflyspec"])
    columns = ["", "median ms", "spread", "times ours", *(["quality"] if quality else [])]
    rows = [
        [name, f"{1000 * median(taken):.1f}", spread(taken), f"{median(taken) / best:.2f}"]
        + ([quality.get(name, "")] if quality else [])
        for name, taken in times.items()
    ]
    return f"### {title}\n\nMedian of {rounds} calls.\n\n{table(columns, rows)}"


def main(arguments: list[str]) -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks augment", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="timed calls of each (default: 15)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default: 2)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(header(f"augmentations of {CLIPS} clips of {SECONDS:g} s at {RATE} Hz", PACKAGES))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title in TABLES:
            print(run(title, options.rounds), flush=True)
