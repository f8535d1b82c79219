"""``python -m benchmarks musicnet``: the 34 types of spectrogram of nnAudio's MusicNet experiment, in one go.

Five STFT magnitudes, five at frequencies evenly spaced in pitch, fourteen mel spectrograms and ten constant-Q
transforms, hop 512 at 44.1 kHz, over clips of unlike length. Ours is one `Parallel` of one padded batch; the others
are called clip by clip, as they know no lengths.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import ontheflyspec as ofs
from benchmarks import memory, music
from benchmarks.cqt import state_bytes
from benchmarks.kinds import HOP, KINDS, MAKERS, RATE, Kind, parallel, reference
from benchmarks.peers import peer
from benchmarks.timing import SETTLE, header, median, rotate, spread, table

PACKAGES = ("torch", "numpy", "ontheflyspec", "nnAudio", "librosa")
PLACES = 16
"""Frames of each clip that constant-Q transforms are compared at."""
COLUMNS = (
    "",
    "ours ms",
    "librosa ms",
    "times ours",
    "nnAudio ms",
    "times ours",
    "error: ours",
    "librosa",
    "nnAudio",
)
QUICK_S, ENOUGH_S = 0.5, 2.0
"""Calls below the first settle and run in all rounds; of others run as many as fit in the second, at least one."""


class Made(NamedTuple):
    """A transform, None where a library has none of this type, and the seconds that its constructor took."""

    transform: Any
    seconds: float


class Result(NamedTuple):
    """What one type took, by name of the library."""

    kind: Kind
    times: dict[str, list[float]]
    errors: dict[str, str]
    built: dict[str, float]
    state: dict[str, int]
    padded: bool
    """Whether nnAudio was faster with the padded batch."""


def clock(call: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the seconds that a call took, and what it returned."""
    start = time.perf_counter()
    made = call()
    return time.perf_counter() - start, made


def construct(name: str, kind: Kind) -> Made:
    seconds, transform = clock(lambda: MAKERS[name](kind))
    return Made(transform, seconds)


def errors(kind: Kind, waves: Sequence[Tensor], outputs: dict[str, Sequence[Tensor]]) -> dict[str, str]:
    """Returns the largest difference of each library from float64, as a share of the clip's peak, over all clips."""
    arrays = [wave.numpy() for wave in waves]
    counts = [1 + len(wave) // HOP for wave in arrays]
    places = [np.unique(np.linspace(0, n - 1, PLACES if kind.family == "cqt" else n).astype(int)) for n in counts]
    wanted: dict[str, list[Any]] = {}
    found = {}
    for name, spectrograms in outputs.items():
        filters = "librosa" if name == "librosa" and kind.family == "cqt" else "nnaudio"
        if filters not in wanted:
            wanted[filters] = reference(kind, arrays, places, filters)
        shares = [
            np.abs(one.numpy()[:, own] - truth).max() / truth.max()
            for one, own, truth in zip(spectrograms, places, wanted[filters], strict=True)
        ]
        found[name] = f"{max(shares):.1e}"
    return found


def compare(kind: Kind, own: Made, batch: ofs.PaddedBatch, whole: Sequence[Tensor], rounds: int) -> Result:
    """Times one type in all libraries in turn.

    Args:
        kind: which.
        own: our transform.
        batch: the clips.
        whole: what `Parallel` made of them, for the error.
        rounds: timed calls of each.
    """
    waves = batch.unpad()
    shortest = min(waves, key=len)
    known = {"ours": own, **{name: construct(name, kind) for name in MAKERS if name != "ours"}}
    known = {name: made for name, made in known.items() if made.transform is not None}
    calls: dict[str, Callable[[], Any]] = {}
    firsts, outputs = {}, {"ours": whole}
    for name, (transform, _) in known.items():
        brief, _ = clock(lambda transform=transform: transform(shortest))
        if name == "ours":
            calls[name] = lambda transform=transform: transform(batch)
            firsts[name], _ = clock(calls[name])
            continue
        calls[name] = lambda transform=transform: [transform(wave) for wave in waves]
        firsts[name], made = clock(calls[name])
        outputs[name] = [one if one.dim() == 2 else one[0] for one in made]
        if name == "nnAudio" and expected(brief, firsts[name], batch) < firsts[name]:
            calls["padded"] = lambda transform=transform: transform(batch.data)
            firsts["padded"], _ = clock(calls["padded"])
    times = timed(calls, firsts, rounds)
    padded = "padded" in times and median(times["padded"]) < median(times["nnAudio"])
    if padded:
        times["nnAudio"] = times["padded"]
    times.pop("padded", None)
    built = {name: made.seconds for name, made in known.items()}
    state = {name: state_bytes(made.transform) or 0 for name, made in known.items()}
    return Result(kind, times, errors(kind, waves, outputs), built, state, padded)


def expected(brief: float, total: float, batch: ofs.PaddedBatch) -> float:
    """Returns seconds for the padded batch from those of the shortest clip and of all, if calls and samples add up."""
    count, sizes = len(batch.lengths), batch.lengths.double()
    longer = float(sizes.sum() - count * sizes.min())
    each = max(0.0, total - count * brief) / longer if longer else 0.0
    return brief + each * float(count * sizes.max() - sizes.min())


def timed(calls: dict[str, Callable[[], Any]], firsts: dict[str, float], rounds: int) -> dict[str, list[float]]:
    """Returns timings: of quick calls in turn after settling, of slower ones in turn, of the slowest the first."""
    times: dict[str, list[float]] = {}
    quick = {name: call for name, call in calls.items() if firsts[name] < QUICK_S}
    times |= rotate(quick, rounds=rounds, warmup=0, settle=SETTLE)
    slow = {name: call for name, call in calls.items() if QUICK_S <= firsts[name] <= ENOUGH_S}
    if slow:
        count = max(1, min(rounds, int(ENOUGH_S / max(firsts[name] for name in slow))))
        times |= rotate(slow, rounds=count, warmup=0)
    return times | {name: [firsts[name]] for name in calls if name not in times}


def cell(times: list[float], rounds: int) -> str:
    """Returns median and spread, and how many calls if not all rounds."""
    if len(times) == 1:
        return f"{1000 * times[0]:.1f} (1 call)"
    return f"{1000 * median(times):.1f} ({spread(times)}{'' if len(times) == rounds else f', {len(times)} calls'})"


def rows(results: Sequence[Result], rounds: int) -> list[list[str]]:
    """Returns a row of the table for each type."""
    made = []
    for result in results:
        best = median(result.times["ours"])
        row = [result.kind.name, cell(result.times["ours"], rounds)]
        for name in ("librosa", "nnAudio"):
            taken = result.times.get(name)
            row += ["", ""] if taken is None else [cell(taken, rounds), f"{median(taken) / best:.1f}"]
        row[-2] += ", padded" if result.padded else ""
        made.append([*row, *(result.errors.get(name, "") for name in MAKERS)])
    return made


def totals(results: Sequence[Result], times: dict[int, list[float]], wrapped: dict[int, float]) -> str:
    """Returns the table of sums over the types that each library has."""
    lines: list[tuple[object, ...]] = []
    ratios = []
    for name in ("nnAudio", "librosa"):
        having = [result for result in results if name in result.times]
        if not having:
            continue
        count = len(having)
        whole = median(times[count])
        makes = {who: sum(result.built[who] for result in having) for who in ("ours", name)}
        state = {who: f"{sum(result.state[who] for result in having):,}" for who in ("ours", name)}
        builds = {who: f"{seconds:.2f}" for who, seconds in makes.items()}
        if name == "librosa":
            state[name] = builds[name] = ""
        first = (f"{whole:.2f}", spread(times[count]), "1.00", f"{makes['ours'] + wrapped[count]:.2f}", state["ours"])
        lines.append(("ours, one Parallel", count, *first))
        for who, label in (("ours", "ours, type by type"), (name, name)):
            seconds = sum(median(result.times[who]) for result in having)
            lines.append((label, count, f"{seconds:.2f}", "", f"{seconds / whole:.2f}", builds[who], state[who]))
        ratios.append(f"{name} takes {seconds / whole:.1f} times as long for its {count} types")
    columns = ("", "types", "median s", "spread", "times ours", "constructors s", "state_dict bytes")
    text = f"Against one Parallel, {'; '.join(ratios)}.\n" if ratios else ""
    return f"{table(columns, lines)}\n{text}"


def prepared(name: str, kinds: Sequence[Kind], folder: str | None, seconds: float) -> Callable[[], Any]:
    """Returns the call whose memory is measured: all types of the batch, or the last type of the longest clip."""
    batch = music.clips(folder, RATE, seconds)
    if name == "all":
        whole = parallel(kinds)
        whole(ofs.pad([torch.randn(RATE)], rate=RATE))
        return lambda: whole(batch)
    transform, wave = MAKERS[name](kinds[-1]), max(batch.unpad(), key=len)
    transform(torch.randn(RATE))
    return lambda: transform(wave)


def memories(kinds: Sequence[Kind], folder: str | None, seconds: float) -> str:
    """Returns the table of what calls need at the peak."""
    lines = []
    for name in ("all", *MAKERS):
        if name != "all" and MAKERS[name](kinds[-1]) is None:
            continue
        use = memory.measure(prepared, name, kinds, folder, seconds)
        label = f"ours, one Parallel of {len(kinds)}" if name == "all" else f"{name}, {kinds[-1].name}, longest clip"
        if use is not None:
            lines.append((label, f"{use.output:.0f}", f"{use.peak - use.output:.0f}"))
    return table(("", "output MiB", "besides it at the peak, MiB"), lines)


def run(kinds: Sequence[Kind], batch: ofs.PaddedBatch, rounds: int) -> None:
    """Prints the tables of times and errors."""
    own = {kind: construct("ours", kind) for kind in kinds}
    whole: dict[int, Any] = {}
    wrapped: dict[int, float] = {}
    for chosen in (kinds, [kind for kind in kinds if kind.family != "log"]):
        if chosen:
            count, transforms = len(chosen), {kind.name: own[kind].transform for kind in chosen}
            wrapped[count], whole[count] = clock(lambda transforms=transforms: ofs.Parallel(**transforms))
    calls = {str(count): (lambda one=one: one(batch)) for count, one in whole.items()}
    for call in calls.values():
        call()
    outputs = whole[len(kinds)](batch)
    times: dict[int, list[float]] = {count: [] for count in whole}
    results: list[Result] = []
    for family in dict.fromkeys(kind.family for kind in kinds):
        for kind in (one for one in kinds if one.family == family):
            if len(results) * rounds // len(kinds) >= len(times[len(kinds)]):
                for count, taken in rotate(calls, rounds=1, warmup=0).items():
                    times[int(count)] += taken
            results.append(compare(kind, own[kind], batch, outputs.pop(kind.name).unpad(), rounds))
        print(table(COLUMNS, rows([result for result in results if result.kind.family == family], rounds)), flush=True)
    print(totals(results, times, wrapped), flush=True)


def main(arguments: list[str]) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks musicnet", description=__doc__)
    parser.add_argument("--data", help="folder of audio files, at any depth (default: notes made here)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the longest clip, 0: uncut (default 6)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--families", default="stft,log,mel,cqt", help="which types (default stft,log,mel,cqt)")
    options = parser.parse_args(arguments)
    kinds = chosen(options.families)
    torch.set_num_threads(options.threads)
    print(header(f"{len(kinds)} types of spectrogram, clips of unlike length", PACKAGES))
    for package in ("nnAudio.features", "librosa"):
        peer(package)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        batch = music.clips(options.data, RATE, options.seconds)
        print(introduction(batch, options.rounds), flush=True)
        run(kinds, batch, options.rounds)
        print(memories(kinds, options.data, options.seconds), flush=True)


def chosen(families: str) -> list[Kind]:
    """Returns the types of the families that a list names, or raises."""
    known, asked = list(dict.fromkeys(kind.family for kind in KINDS)), families.split(",")
    if unknown := [family for family in asked if family not in known]:
        raise SystemExit(f"musicnet: expected --families out of {','.join(known)}, got {','.join(unknown)}.")
    return [kind for kind in KINDS if kind.family in asked]


def introduction(batch: ofs.PaddedBatch, rounds: int) -> str:
    """Returns what the tables show."""
    seconds = ", ".join(f"{length / RATE:.1f}" for length in batch.lengths.tolist())
    return (
        f"{len(batch.lengths)} clips of {seconds} s at {RATE} Hz, hop {HOP}.\n\n"
        "- Names: family, n_fft, mel bands; cqt_r has 84 r bins, 12 r an octave.\n"
        "- Ours: each type alone on the padded batch; all in one `Parallel` in the sums. Sums are of medians.\n"
        f"- Times: median of {rounds} calls (spread), all libraries in turn; of calls above {QUICK_S:g} s as many as "
        f"fit in {ENOUGH_S:g} s, of those above that one full one, after one on the shortest clip.\n"
        "- librosa and nnAudio: clip by clip, as they know no lengths. nnAudio also with the padded batch, where clips "
        "end in its padding, unless its time per clip and per sample forbids that to be faster; the faster counts "
        "(`padded` if it is that). "
        "Constructors do not count; they stand with the sums.\n"
        "- Error: largest difference from float64, as a share of the clip's peak, at all frames, for cqt at "
        f"{PLACES} of each clip, the first and last among them; ours as it came out of `Parallel`. cqt is compared "
        "with the direct transform with the same filters: nnAudio's for nnAudio and ours, librosa's for librosa.\n"
    )
