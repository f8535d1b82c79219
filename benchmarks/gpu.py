"""``python -m benchmarks gpu``: front ends on a GPU against installed peers, and how long a model waits for them.

Times are medians between events on the device, functions in rotation; beside them stand the host's time, the error
from float64, and the floor: input read once, output written once at the bandwidth of a copy on this card. On a CPU it
runs the same code on small inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ontheflyspec as ofs
from benchmarks.peers import peer
from benchmarks.timing import header, table

PACKAGES = ("torch", "triton", "numpy", "ontheflyspec", "torchaudio", "nnAudio", "torch-audiomentations")
A = ofs.augment
SETTLED_S = 0.3
"""Seconds of calls before the first timed one."""
SECTIONS = ("spectra", "augmentations", "loading")


class Times(NamedTuple):
    """Median milliseconds of a call: between events on the device, and of the host."""

    device: float
    host: float


class Place:
    """A device, with inputs that fit it."""

    def __init__(self, device: torch.device, options: argparse.Namespace) -> None:
        self.device, self.cuda = device, device.type == "cuda"
        self.items, self.seconds, self.rounds = options.items, options.seconds, options.rounds
        self.bandwidth = self._bandwidth()

    def synchronise(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def _bandwidth(self) -> float:
        """Returns bytes a second that a copy on the device moves, read and written."""
        size = 1 << (28 if self.cuda else 22)
        one, other = (torch.zeros(size, dtype=torch.uint8, device=self.device) for _ in range(2))
        taken = self.times({"copy": [lambda: one.copy_(other)]}, rounds=20)["copy"].device
        return 2 * size / (taken / 1e3)

    def times(self, functions: dict[str, list[Callable[[], Any]]], rounds: int | None = None) -> dict[str, Times]:
        """Times functions in turn, each with its inputs in turn, so that none finds its own in the cache."""
        for calls in functions.values():
            end, count = time.perf_counter() + SETTLED_S * self.cuda, 0
            while count < 2 or time.perf_counter() < end:
                calls[count % len(calls)]()
                count += 1
            self.synchronise()
        spans: dict[str, list[Any]] = {name: [] for name in functions}
        hosts: dict[str, list[float]] = {name: [] for name in functions}
        for number in range(rounds or self.rounds):
            for name, calls in functions.items():
                call = calls[number % len(calls)]
                events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if self.cuda else []
                if events:
                    events[0].record()
                begin = time.perf_counter()
                call()
                hosts[name].append(1e3 * (time.perf_counter() - begin))
                if events:
                    events[1].record()
                spans[name].append(events or hosts[name][-1])
            self.synchronise()
        found = {
            name: [one[0].elapsed_time(one[1]) if isinstance(one, list) else one for one in taken]
            for name, taken in spans.items()
        }
        return {name: Times(statistics.median(found[name]), statistics.median(hosts[name])) for name in functions}

    def ragged(self, rate: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> ofs.PaddedBatch:
        """Returns waves from three quarters to the whole of the length, on the host."""
        draws, size = torch.Generator().manual_seed(seed), int(rate * self.seconds)
        step = size // (4 * self.items)
        waves = [0.1 * torch.randn(size - step * place, generator=draws) for place in range(self.items)]
        if dtype == torch.int16:
            waves = [(wave * 32767).clamp(-32768, 32767).to(torch.int16) for wave in waves]
        return ofs.pad(waves, rate=rate, ids=[1000 * seed + number for number in range(self.items)])

    @contextlib.contextmanager
    def nothing_waits(self) -> Iterator[None]:
        """Raises wherever the host would wait for the device."""
        if not self.cuda:
            yield
            return
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def log_mel(rate: int, n_fft: int, hop: int, n_mels: int) -> ofs.Compose:
    mel = ofs.MelSpectrogram(sample_rate=rate, n_fft=n_fft, hop_length=hop, n_mels=n_mels)
    return ofs.Compose([mel, ofs.AmplitudeToDB()])


def readme_chain() -> ofs.Compose:
    noise, masks = A.AddColoredNoise(snr_db=(5.0, 30.0), p=0.5), A.SpecAugment(time_mask_param=20, freq_mask_param=10)
    return ofs.Compose([noise, *log_mel(16_000, 400, 160, 80).steps, masks], seed=0)


Peers = dict[str, Callable[[], Any]]


def spectra_of(rate: int) -> list[tuple[str, Any, Peers]]:
    """Returns what is timed at a rate: a name, our step, and makers of others."""
    ta, nn = peer("torchaudio"), peer("nnAudio.features")
    rows: list[tuple[str, Any, Peers]] = []
    for n_fft, hop, n_mels in [(400, 160, 80)] if rate == 16_000 else [(1024, 256, 80), (2048, 512, 128)]:
        framing: dict[str, Any] = {"n_fft": n_fft, "hop_length": hop}
        others: Peers = {}
        if ta is not None:
            others["torchaudio"] = lambda f=framing, m=n_mels: torch.nn.Sequential(
                ta.transforms.MelSpectrogram(rate, n_mels=m, mel_scale="slaney", norm="slaney", **f),
                ta.transforms.AmplitudeToDB(),
            )
        if nn is not None:
            others["nnAudio"] = lambda f=framing, m=n_mels: nn.MelSpectrogram(sr=rate, n_mels=m, verbose=False, **f)
        rows.append((f"log-mel {n_fft}/{hop}/{n_mels}", log_mel(rate, n_fft, hop, n_mels), others))
        others = {}
        if ta is not None:
            others["torchaudio"] = lambda f=framing: ta.transforms.Spectrogram(power=1.0, **f)
        if nn is not None:
            others["nnAudio"] = lambda f=framing: nn.STFT(sr=rate, output_format="Magnitude", verbose=False, **f)
        rows.append((f"STFT {n_fft}/{hop}", ofs.STFT(sample_rate=rate, output="magnitude", **framing), others))
    if rate == 16_000:
        mfcc = ofs.MFCC(sample_rate=rate, n_mfcc=40, n_mels=80, n_fft=400, hop_length=160)
        return [*rows, ("MFCC 40", mfcc, {}), ("the README's chain", readme_chain(), {})]
    others = {} if nn is None else {"nnAudio": lambda: nn.CQT1992v2(sr=rate, hop_length=512, n_bins=84, verbose=False)}
    rows.append(("CQT 84", ofs.CQT(sample_rate=rate, output="magnitude"), others))
    others = {} if ta is None else {"torchaudio": lambda: ta.transforms.Resample(rate, 16_000)}
    return [*rows, ("Resample to 16 kHz", ofs.Resample(sample_rate=rate, new_sample_rate=16_000), others)]


def error(place: Place, step: Any, batch: ofs.PaddedBatch) -> str:
    """Returns the largest error of two items as a share of the peak, from float64 on the CPU."""
    few = batch._replace(data=batch.data[:2], lengths=batch.lengths[:2], ids=None)
    exact = few.data.double() / (32768 if few.data.dtype == torch.int16 else 1)
    with torch.no_grad():
        wanted = copy.deepcopy(step).cpu()(few._replace(data=exact)).data
        found = step(few._replace(data=few.data.to(place.device))).data.double().cpu()
    if isinstance(step, ofs.Compose):
        found, wanted = 10 ** (found / 10), 10 ** (wanted / 10)
    return f"{float((found - wanted).abs().max() / wanted.abs().max()):.1e}"


def timed(place: Place, name: str, step: Any, others: Peers, batches: list[ofs.PaddedBatch]) -> list[str]:
    """Returns the row of a step."""
    step = copy.deepcopy(step).to(place.device)
    sent = [one.to(place.device) for one in batches]
    random = isinstance(step, ofs.Compose) and len(list(step.steps)) > 2
    wrong = "" if random or not isinstance(step, torch.nn.Module) else error(place, step, batches[0])
    functions: dict[str, list[Callable[[], Any]]] = {"ours": [lambda one=one: step(one) for one in sent]}
    for other, make in others.items():
        with contextlib.suppress(Exception), contextlib.redirect_stdout(None):
            made = make().to(place.device)
            made(sent[0].data)  # what cannot take these clips is left out
            functions[other] = [lambda one=one, made=made: made(one.data) for one in sent]
    with torch.no_grad():
        out = step(sent[0])
        with place.nothing_waits():
            step(sent[0])
        found = place.times(functions)
    floor = 1e3 * (sent[0].data.nbytes + out.data.nbytes) / place.bandwidth
    ours = found.pop("ours")
    theirs = ", ".join(f"{other} {one.device:.3f}" for other, one in found.items())
    slower = ", ".join(other for other, one in found.items() if one.device < ours.device)
    verdict = f"SLOWER than {slower}" if slower else ""
    return [name, f"{ours.device:.3f}", f"{ours.host:.3f}", f"{floor:.3f}", wrong, theirs, verdict]


COLUMNS = ("", "ms", "ms of the host", "ms of the floor", "error", "others, full items, ms", "")


def spectra(place: Place) -> str:
    rows = []
    for rate in (16_000, 22_050):
        batches = [place.ragged(rate, seed) for seed in range(3)]
        rows += [timed(place, *one, batches) for one in spectra_of(rate)]
    shorts = [place.ragged(16_000, seed, torch.int16) for seed in range(3)]
    rows.append(["log-mel 400/160/80 of int16", *timed(place, "", log_mel(16_000, 400, 160, 80), {}, shorts)[1:]])
    return table(COLUMNS, rows)


def augmentations(place: Place) -> str:
    """Each augmentation of waves by itself, p = 1."""
    rate, rows = 16_000, []
    noise = ofs.WaveformBank([torch.randn(5 * rate) for _ in range(8)], rate=rate)
    rooms = ofs.WaveformBank([torch.randn(8000) * torch.exp(-torch.arange(8000) / 900.0) for _ in range(8)], rate=rate)
    banks = {"AddBackgroundNoise": noise, "Babble": noise, "ShortNoises": noise, "ApplyImpulseResponse": rooms}
    special: dict[str, dict[str, Any]] = {"RandomCrop": {"seconds": 5.0}, "AdjustDuration": {"seconds": 8.0}}
    waves = [place.ragged(rate, seed) for seed in range(3)]
    with torch.no_grad():
        features = [log_mel(rate, 400, 160, 80)(one) for one in waves]
    for name in A.__all__:
        kind = getattr(A, name)
        if not hasattr(kind, "plan") or name in ("Augment", "ChannelShuffle", "ChannelDrop"):
            continue
        try:
            step = kind(banks[name]) if name in banks else kind(**special.get(name, {}))
        except TypeError:  # which needs more than a benchmark can guess
            continue
        rows.append(random_row(place, name, step, features if step.item_rank == 2 else waves))
    return table(("", "ms", "ms of the host", "ms of the floor", ""), rows)


def random_row(place: Place, name: str, step: Any, batches: list[ofs.PaddedBatch]) -> list[str]:
    """Returns the row of an augmentation."""
    step, sent = step.to(place.device), [one.to(place.device) for one in batches]
    with torch.no_grad():
        out, verdict = step(sent[0]), ""
        try:
            with place.nothing_waits():
                step(sent[0])
        except RuntimeError:
            verdict = "WAITS"
        ours = place.times({"ours": [lambda one=one: step(one) for one in sent]})["ours"]
    floor = 1e3 * (sent[0].data.nbytes + out.data.nbytes) / place.bandwidth
    return [name, f"{ours.device:.3f}", f"{ours.host:.3f}", f"{floor:.3f}", verdict]


def loading(place: Place) -> str:
    """The share of the time that a model waits for its batches."""
    count, kind = (24, torch.bfloat16) if place.cuda else (4, torch.float32)
    host = [place.ragged(16_000, seed, torch.int16) for seed in range(4)] * (count // 4)
    pinned = [one.pin_memory() for one in host] if place.cuda else host
    width = 4096 if place.cuda else 64
    weights = torch.randn(width, width, device=place.device, dtype=kind)
    once = place.times({"product": [lambda: weights @ weights]}, rounds=10)["product"].device
    front = readme_chain().to(place.device)
    ready = [front(one.to(place.device)) for one in host[:4]]
    rows = []
    for target in (5.0, 20.0) if place.cuda else (0.5,):
        times = max(int(target / max(once, 1e-3)), 1) if place.cuda else 2

        def model(batch: ofs.PaddedBatch, times: int = times) -> Tensor:
            out = weights + batch.data.mean().to(kind)
            for _ in range(times):
                out = (weights @ out) * 1e-2
            return out

        ways: dict[str, Callable[[], Any]] = {
            "model alone": lambda: (ready[step % 4] for step in range(count)),
            "DeviceLoader, pinned": lambda: ofs.DeviceLoader(pinned, front, device=place.device),
            "DeviceLoader, not pinned": lambda: ofs.DeviceLoader(host, front, device=place.device),
            "on the model's stream": lambda: (front(one.to(place.device, non_blocking=True)) for one in pinned),
        }
        alone = 0.0
        for name, make in ways.items():
            taken, asked = _passes(place, make, model, count)
            alone = alone or taken
            waits = f"{100 * max(1 - alone / taken, 0):.0f} %"
            rows.append([f"model of {target:g} ms, {name}", f"{taken:.2f}", waits, f"{asked:.2f}"])
    return table(("", "ms a step", "waiting", "ms of the host in next()"), rows)


def _passes(place: Place, make: Callable[[], Any], model: Callable[[Any], Any], count: int) -> tuple[float, float]:
    """Returns milliseconds a step, and of the host in asking for a batch, of a second pass."""
    for batch in make():
        model(batch)
    place.synchronise()
    begin, asking, batches = time.perf_counter(), 0.0, iter(make())
    for _ in range(count):
        asked = time.perf_counter()
        batch = next(batches)
        asking += time.perf_counter() - asked
        model(batch)
    place.synchronise()
    return 1e3 * (time.perf_counter() - begin) / count, 1e3 * asking / count


def main(arguments: list[str]) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__.splitlines()[0])
    cuda = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if cuda else "cpu", help="where to run (default CUDA if there)")
    parser.add_argument("--items", type=int, default=32 if cuda else 4, help="clips in a batch")
    parser.add_argument("--seconds", type=float, default=10.0 if cuda else 1.0, help="length of the longest clip")
    parser.add_argument("--rounds", type=int, default=30 if cuda else 3, help="timed rounds")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections of {', '.join(SECTIONS)}")
    options = parser.parse_args(arguments)
    place = Place(torch.device(options.device), options)
    print(header("On a GPU", PACKAGES))
    speed = f"{place.bandwidth / 1e12:.2f} TB/s"
    print(f"Copies on the device: {speed}. {place.items} clips of up to {place.seconds:g} s; others get full ones.\n")
    for name in options.only.split(","):
        print(f"### {name}\n")
        print(globals()[name](place), flush=True)
