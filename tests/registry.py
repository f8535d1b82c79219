"""Every public transform and augmentation with its options: the one list that the law tests walk through.

Add a `Case` for each option that changes the computation; `test_laws.test_registry_is_complete` fails while a public
class has none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

import ontheflyspec as ofs
from case import BANDS, FOURIER, MEL, RATE, Case, centred, from_db, from_db_magnitude, uncentred
from families import bands, constant_q, fixed, inverse, level, noise, pitch, shape, spectrogram, timing


def _stft() -> list[Case]:
    base = Case("STFT", lambda: ofs.STFT(**FOURIER), steps=centred(16))
    cases = []
    for backend in ("fft", "conv"):
        for output in ("complex", "magnitude", "power", "phase"):
            options = {**FOURIER, "backend": backend, "output": output}
            made = replace(
                base,
                name=f"STFT-{output}-{backend}",
                make=functools.partial(ofs.STFT, **options),
                exact=backend == "fft",
                magnitude=functools.partial(ofs.STFT, **FOURIER, output="magnitude") if output == "phase" else None,
                smooth=output != "phase",
            )
            cases.append(made)
        for name, extra, steps in _FRAMES:
            options = {**FOURIER, "output": "magnitude", "backend": backend, **extra}
            make = functools.partial(ofs.STFT, **options)
            cases.append(replace(base, name=f"STFT-{name}-{backend}", make=make, exact=backend == "fft", steps=steps))
    for output in ("complex", "power"):
        make = functools.partial(ofs.STFT, **FOURIER, output=output, trainable=True)
        cases.append(replace(base, name=f"STFT-{output}-trainable", make=make, exact=False))
    return cases


_FRAMES: list[tuple[str, dict[str, Any], Callable[[int], int]]] = [
    ("constant", {"pad_mode": "constant"}, centred(16)),
    ("uncentred", {"center": False}, uncentred(64, 16)),
    ("same", {"center": "same"}, lambda n: n // 16),
    ("same-uneven", {"center": "same", "n_fft": 51, "hop_length": 20}, lambda n: n // 20),
    ("drop-last", {"drop_last": True, "normalized": True}, lambda n: n // 16),
    ("short-window", {"win_length": 40, "window": "hamming"}, centred(16)),
    ("odd", {"n_fft": 51, "hop_length": 20}, centred(20)),
    ("odd-uncentred", {"n_fft": 51, "hop_length": 20, "win_length": 33, "center": False}, uncentred(51, 20)),
    ("gaps", {"n_fft": 32, "hop_length": 50}, centred(50)),
]


def _mel() -> list[Case]:
    def case(name: str, exact: bool = True, steps: Callable[[int], int] | None = None, **extra: Any) -> Case:
        make = functools.partial(ofs.MelSpectrogram, **{**MEL, **extra})
        return Case(f"MelSpectrogram-{name}", make, steps=steps or centred(16), exact=exact)

    return [
        case("fft", backend="fft"),
        case("conv", backend="conv", exact=False),
        case("trainable", trainable=True, exact=False),
        case("htk", mel_scale="htk"),
        case("kaldi", mel_scale="kaldi", norm=None),
        case("unnormed", norm=None),
        case("magnitude", power=1.0),
        case("magnitude-conv", power=1.0, backend="conv", exact=False),
        case("power-3", power=3.0),
        case("range", fmin=300.0, fmax=3_000.0),
        case("constant", pad_mode="constant"),
        case("uncentred", center=False, steps=uncentred(64, 16)),
        case("uncentred-conv", center=False, backend="conv", exact=False, steps=uncentred(64, 16)),
        case("short-window", win_length=40),
        case("odd", n_fft=51, hop_length=20, steps=centred(20)),
    ]


def _mfcc() -> list[Case]:
    def case(name: str, exact: bool = True, **extra: Any) -> Case:
        make = functools.partial(ofs.MFCC, **{**MEL, "n_mfcc": 4, **extra})
        return Case(f"MFCC-{name}", make, steps=centred(16), exact=exact)

    return [
        case("fft", backend="fft"),
        case("lifter", lifter=3.0, top_db=None),
        case("conv", backend="conv", exact=False),
        case("trainable", trainable=True, exact=False),
    ]


def _post() -> list[Case]:
    def db(name: str, **options: Any) -> Case:
        undo = from_db_magnitude if options.get("stype") == "magnitude" else from_db
        return Case(f"AmplitudeToDB-{name}", functools.partial(ofs.AmplitudeToDB, **options), "power", undo=undo)

    def norm(name: str, **options: Any) -> Case:
        return Case(f"Normalize-{name}", functools.partial(ofs.Normalize, **options), "features")

    def resample(old: int, new: int) -> Case:
        make = functools.partial(ofs.Resample, sample_rate=old, new_sample_rate=new)
        return Case(f"Resample-{old}-{new}", make, steps=lambda n: -(-n * new // old), exact=True)

    return [
        db("power"),
        db("magnitude", stype="magnitude"),
        db("ref", ref=0.5, amin=1e-6),
        db("max", ref="max"),
        db("top", top_db=30.0),
        db("max-top", ref="max", top_db=30.0),
        Case("Log", ofs.Log, "power", undo=torch.exp),
        Case("Log-floor", functools.partial(ofs.Log, floor=1e-3), "power", undo=torch.exp),
        Case("Deltas", ofs.Deltas, "features"),
        Case("Deltas-second", functools.partial(ofs.Deltas, width=5, order=2), "features"),
        norm("item"),
        norm("item-ddof", ddof=1),
        norm("feature", per="feature"),
        norm("feature-ddof", per="feature", ddof=1),
        norm("global", per="global", mean=0.5, std=2.0),
        resample(RATE, 4_000),
        resample(RATE, 16_000),
        resample(RATE, RATE),
        resample(RATE, 11_025),
        resample(RATE, 7_000),
    ]


def _augmentations() -> list[Case]:
    def case(name: str, kind: str, takes: Any = "wave", options: dict[str, Any] | None = None, **facts: Any) -> Case:
        make = functools.partial(getattr(ofs.augment, kind), **(options or {}))
        return Case(f"{kind}-{name}" if name else kind, make, takes, random=True, **facts)

    return [
        case("", "Gain"),
        case("half", "Gain", options={"p": 0.5}),
        case("fixed", "Gain", options={"gain_db": -3.0}, constant=True),
        case("", "PolarityInversion", options={"p": 0.5}),
        case("always", "PolarityInversion", constant=True),
        case("", "AddColoredNoise", noise=True),
        case("half", "AddColoredNoise", options={"p": 0.5, "seed": 3}, noise=True),
        case("white", "AddColoredNoise", options={"snr_db": 10.0, "f_decay": 0.0}, noise=True),
        case("", "TimeShift", options={"shift_s": (-0.01, 0.01)}),
        case("far", "TimeShift", options={"shift_s": (-1.0, 1.0), "p": 0.7}),
        case("zero", "TimeShift", options={"shift_s": (-0.02, 0.02), "mode": "zero"}),
        case("", "SpecAugment", "features"),
        case("zero", "SpecAugment", "features", {"fill": "zero", "time_mask_param": 4, "freq_mask_param": 3}),
        case("value", "SpecAugment", "features", {"fill": -2.0, "time_mask_param": 4, "freq_mask_param": 3, "p": 0.5}),
        case("time", "SpecAugment", "features", {"n_freq_masks": 0, "time_mask_param": 4}),
    ]


def front_end(**mel: Any) -> ofs.Compose:
    """The whole front end of the README, small."""
    return ofs.Compose(
        [
            ofs.augment.Gain(gain_db=(-6.0, 6.0), p=0.5),
            ofs.augment.AddColoredNoise(snr_db=(5.0, 30.0), p=0.5),
            ofs.augment.TimeShift(shift_s=(-0.01, 0.01)),
            ofs.MelSpectrogram(**MEL, **mel),
            ofs.AmplitudeToDB(),
            ofs.augment.SpecAugment(time_mask_param=3, freq_mask_param=2),
        ],
        seed=7,
    )


def _one_of() -> nn.Module:
    steps = [ofs.augment.Gain(), ofs.augment.PolarityInversion(p=0.5), ofs.augment.TimeShift(shift_s=(-0.01, 0.01))]
    return ofs.OneOf(steps, weights=[1.0, 2.0, 1.0], p=0.8, seed=2)


def _some_of() -> nn.Module:
    steps = [ofs.augment.Gain(), _one_of(), ofs.augment.PolarityInversion(), ofs.augment.TimeShift(shift_s=0.002)]
    return ofs.SomeOf(steps, n=(1, 3), seed=4)


def _chains() -> list[Case]:
    def log_mel(**mel: Any) -> Callable[[], nn.Module]:
        return lambda: ofs.Compose([ofs.MelSpectrogram(**MEL, **mel), ofs.AmplitudeToDB(ref="max", top_db=50.0)])

    return [
        Case("Compose-log-mel", log_mel(), steps=centred(16), undo=from_db),
        Case("Compose-log-mel-conv", log_mel(backend="conv"), steps=centred(16), undo=from_db, exact=False),
        Case("Compose-log-mel-trainable", log_mel(trainable=True), steps=centred(16), undo=from_db, exact=False),
        Case(
            "Compose-log-normalized",
            lambda: ofs.Compose(
                [
                    ofs.MelSpectrogram(**MEL),
                    ofs.Log(),
                    ofs.Normalize(per="global", mean=[-3.0, -2.0, -1.0, 0.0, 1.0, 2.0], std=2.0 * torch.ones(BANDS)),
                ]
            ),
            steps=centred(16),
            undo=lambda values: torch.exp(2.0 * values),
        ),
        Case("Compose-front-end", front_end, steps=centred(16), undo=from_db, random=True, noise=True),
        Case(
            "Compose-front-end-conv",
            functools.partial(front_end, backend="conv"),
            steps=centred(16),
            undo=from_db,
            random=True,
            noise=True,
            exact=False,
        ),
        Case(
            "Compose-nested",
            lambda: ofs.Compose([ofs.augment.Gain(), ofs.Compose([ofs.augment.Gain(), _one_of()]), _some_of()]),
            random=True,
        ),
        Case("OneOf", _one_of, random=True),
        Case("SomeOf", _some_of, random=True),
        Case(
            "RandomOrder", lambda: ofs.RandomOrder([_one_of(), ofs.augment.AddColoredNoise()]), random=True, noise=True
        ),
        Case("Sometimes", lambda: ofs.Sometimes([_one_of(), ofs.augment.Gain()]), random=True),
        Case(
            "OneOf-features",
            lambda: ofs.OneOf([ofs.augment.SpecAugment(time_mask_param=4), ofs.Normalize()], p=0.9),
            "features",
            random=True,
        ),
    ]


FAMILIES = (constant_q, inverse, bands, pitch, shape, noise, level, fixed, spectrogram, timing)
CASES: list[Case] = [*_stft(), *_mel(), *_mfcc(), *_post(), *_augmentations(), *_chains()]
CASES += [case for family in FAMILIES for case in family.CASES]
TRANSFORMS = [case for case in CASES if not case.random]
RANDOM = [case for case in CASES if case.random]


def public_steps() -> set[type]:
    """Returns all public transforms and augmentations."""
    from ontheflyspec.augment.base import Augment
    from ontheflyspec.chain.compose import Chain
    from ontheflyspec.transforms.base import Transform

    found = set()
    for space in (ofs, ofs.augment):
        for name in space.__all__:
            value = getattr(space, name)
            if isinstance(value, type) and issubclass(value, Transform | Augment | Chain):
                found.add(value)
    return found - {Transform, Augment, ofs.Parallel}
