"""``python -m benchmarks laws``: who keeps which of the laws of padded batches, ours and installed peers."""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import ontheflyspec as ofs
from benchmarks.peers import peer
from benchmarks.timing import header, table

PACKAGES = ("torch", "ontheflyspec", "torch-audiomentations", "torchaudio", "nnAudio", "nnaudio2")
RATE = 16_000
LENGTHS = (16_000, 8_000, 4_000, 2_000)
Wave = Callable[[Tensor, Tensor], Tensor]
"""Takes waves ``[B, T]`` and their lengths; only ours looks at the latter."""


def clips() -> tuple[Tensor, Tensor]:
    """Returns noise of four lengths, padded with zeros."""
    waves = [0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in LENGTHS]
    batch = ofs.pad(waves, rate=RATE)
    return batch.data, batch.lengths


def ours(step: Any) -> Wave:
    return lambda x, lengths: step(ofs.PaddedBatch(x, lengths, RATE, torch.arange(len(x)))).data


def plain(call: Callable[[Tensor], Tensor]) -> Wave:
    return lambda x, lengths: call(x)  # noqa: ARG005


def wavelike(step: Any) -> Wave:
    """Returns a peer that takes ``[B, C, T]``."""
    return lambda x, lengths: step(x.unsqueeze(1))[:, 0]  # noqa: ARG005


def audiomentation(name: str, **options: Any) -> Wave | None:
    peer("torchaudio")
    module = peer("torch_audiomentations")
    if module is None:
        return None
    return wavelike(getattr(module, name)(p=1.0, sample_rate=RATE, output_type="tensor", **options))


def mel_alone(mel: Wave) -> str:
    """Returns how far valid frames of clips in a batch are from the clips' own, as a share of each one's peak."""
    x, lengths = clips()
    together, worst = mel(x, lengths), 0.0
    for row, n in enumerate(LENGTHS):
        single = mel(x[row : row + 1, :n], lengths[row : row + 1])[0]
        frames = min(single.shape[-1], together.shape[-1])
        gap = (together[row, ..., :frames] - single[..., :frames]).abs().max()
        worst = max(worst, float(gap / single.abs().max()))
    return f"{worst:.0e}" if worst else "0"


def draw_kept(gain: Wave) -> str:
    """Returns whether a clip keeps its gain as its mates and its place change, the global seed being the same."""
    x, lengths = torch.ones(4, 8), torch.full((4,), 8)
    torch.manual_seed(0)
    first = gain(x, lengths)[:2, 0]
    torch.manual_seed(0)
    second = gain(x[:2], lengths[:2])[:, 0]
    return "yes" if torch.equal(first, second) else "no"


def snr_got(noise: Wave) -> str:
    """Returns dB measured on each clip's own samples where 10 were asked for, the whole batch to an eighth valid."""
    x, lengths = clips()
    torch.manual_seed(0)
    added = noise(x, lengths) - x
    found = [
        10 * math.log10(float(x[row, :n].square().mean() / added[row, :n].square().mean()))
        for row, n in enumerate(LENGTHS)
    ]
    return ", ".join(f"{value:.1f}" for value in found)


def padding_moved_in(shift: Wave) -> str:
    """Returns the share of zeros in each clip after a shift by half a second."""
    x, lengths = clips()
    torch.manual_seed(0)
    out = shift(x, lengths)
    return ", ".join(f"{100 * float((out[row, :n] == 0).float().mean()):.0f} %" for row, n in enumerate(LENGTHS))


def masks_wasted(mask: Callable[[Tensor, Tensor], Tensor]) -> str:
    """Returns which share of the masked frames lies in the padding, over 200 calls."""
    frames = torch.tensor([100, 50, 25, 12])
    wasted, total = 0, 0
    for seed in range(200):
        torch.manual_seed(seed)
        hidden = (mask(torch.ones(4, 8, 100), frames) == 0).all(1)
        valid = torch.arange(100) < frames.unsqueeze(1)
        if mask is own_masks:
            hidden &= valid
        wasted, total = wasted + int((hidden & ~valid).sum()), total + int(hidden.sum())
    return f"{100 * wasted / max(total, 1):.0f} %"


def own_masks(x: Tensor, frames: Tensor) -> Tensor:
    """SpecAugment over ``[B, F, N]``; what is past the lengths comes out 0 and is no mask."""
    step = ofs.augment.SpecAugment(n_freq_masks=0, n_time_masks=2, time_mask_param=10, fill="zero")
    return step(ofs.PaddedBatch(x, frames, 100.0)).data


def mels() -> dict[str, Wave | None]:
    options = {"sample_rate": RATE, "n_fft": 400, "hop_length": 160, "n_mels": 40}
    found: dict[str, Wave | None] = {"ontheflyspec": ours(ofs.MelSpectrogram(**options))}
    module = peer("torchaudio.transforms")
    found["torchaudio"] = None if module is None else plain(module.MelSpectrogram(**options))
    for name, package in (("nnAudio", "nnAudio"), ("nnaudio2", "nnAudio2")):
        features = peer(f"{package}.features")
        if features is not None:
            found[name] = plain(features.MelSpectrogram(sr=RATE, n_fft=400, hop_length=160, n_mels=40, verbose=False))
    return found


def masking() -> Callable[[Tensor, Tensor], Tensor] | None:
    module = peer("torchaudio.transforms")
    if module is None:
        return None
    times = module.TimeMasking(10, iid_masks=True)
    return lambda x, frames: times(times(x.unsqueeze(1)))[:, 0]  # noqa: ARG005


def rows() -> list[tuple[str, dict[str, str]]]:
    """Returns each law with what everybody does, by name."""
    augment = ofs.augment
    gains = {"ontheflyspec": ours(augment.Gain()), "torch-audiomentations": audiomentation("Gain")}
    noises = {
        "ontheflyspec": ours(augment.AddColoredNoise(snr_db=10.0)),
        "torch-audiomentations": audiomentation("AddColoredNoise", min_snr_in_db=10.0, max_snr_in_db=10.0),
    }
    shifts = {
        "ontheflyspec": ours(augment.TimeShift(shift_s=0.5)),
        "torch-audiomentations": audiomentation("Shift", min_shift=0.5, max_shift=0.5, shift_unit="seconds"),
    }
    spans = {"ontheflyspec": own_masks, "torchaudio": masking()}

    def each(measure: Callable[[Any], str], steps: dict[str, Any]) -> dict[str, str]:
        return {name: measure(step) for name, step in steps.items() if step is not None}

    return [
        ("mel of a clip in a batch, off from its own by (share of peak)", each(mel_alone, mels())),
        ("a clip keeps its draw when its mates change", each(draw_kept, gains)),
        ("dB got for 10 asked: valid whole, 1/2, 1/4, 1/8", each(snr_got, noises)),
        ("padding in a clip shifted by 0.5 s round its end", each(padding_moved_in, shifts)),
        ("masked frames that lie in the padding", each(masks_wasted, spans)),
    ]


def main(arguments: list[str]) -> None:
    """Prints the table."""
    argparse.ArgumentParser(prog="python -m benchmarks laws", description=__doc__).parse_args(arguments)
    print(header("laws of padded batches", PACKAGES))
    lengths = ", ".join(f"{n / RATE:g}" for n in LENGTHS)
    print(f"Clips of {lengths} s at {RATE} Hz in one batch.\n")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rows()
    names = list(dict.fromkeys(name for _, row in found for name in row))
    print(table(["", *names], [[law, *(row.get(name, "") for name in names)] for law, row in found]))
