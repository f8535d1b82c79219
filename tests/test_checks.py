"""Every error names where, the rule, what came and what to change; what is right comes back unchanged."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec import checks
from ontheflyspec.batch import WAVE_DTYPES, check_dtype, check_lengths, check_rank, check_rate


def test_message() -> None:
    assert checks.message("CQT", "n_bins at most 96", 120, "Lower n_bins.") == (
        "CQT: expected n_bins at most 96, got 120. Lower n_bins."
    )


@pytest.mark.parametrize(
    ("check", "kind", "text"),
    [
        (lambda: checks.integer("X", "n", 0), ValueError, "X: expected n to be an integer of at least 1, got 0. "),
        (lambda: checks.integer("X", "n", 9, high=8), ValueError, "of at least 1 and at most 8, got 9. Change n."),
        (lambda: checks.integer("X", "n", 2.0), TypeError, "got 2.0. Pass a whole number as n."),
        (lambda: checks.integer("X", "n", True), TypeError, "got True. "),
        (lambda: checks.number("X", "p", 1.5, low=0.0, high=1.0), ValueError, "between 0 and 1, got 1.5. Change p."),
        (lambda: checks.number("X", "p", math.nan), ValueError, "p to be a finite number, got nan. "),
        (lambda: checks.number("X", "p", "1"), TypeError, "got '1'. Pass a number as p."),
        (lambda: checks.number("X", "p", False), TypeError, "got False. "),
        (lambda: checks.positive("X", "rate", 0), ValueError, "X: expected rate above 0, got 0. Change rate."),
        (lambda: checks.choice("X", "mode", "c", ["a", "b"]), ValueError, "one of 'a' | 'b', got 'c'. Change mode."),
        (lambda: checks.choice("X", "mode", None, ["a"]), ValueError, "one of 'a', got None. "),
        (
            lambda: checks.sequence("X", "r", 2),
            TypeError,
            "r to be a tuple or a list, got 2. Pass several values as r.",
        ),
        (lambda: checks.sequence("X", "r", "ab"), TypeError, "r to be a tuple or a list, got 'ab'. "),
        (lambda: checks.span("X", "r", (2, 1)), ValueError, "with low <= high, got (2.0, 1.0). Swap the two."),
        (lambda: checks.span("X", "r", (1, 2, 3)), TypeError, "a pair (low, high), got (1, 2, 3). "),
        (lambda: checks.span("X", "r", "12"), TypeError, "got '12'. "),
        (lambda: checks.span("X", "r", (0, 2), high=1.0), ValueError, "got 2.0. Change r."),
        (lambda: check_dtype("X", [1.0], [torch.float32]), TypeError, "a Tensor or a PaddedBatch, got list. "),
        (lambda: check_dtype("X", torch.zeros(1, dtype=torch.int32), WAVE_DTYPES), TypeError, "got int32. "),
        (lambda: check_rank("X", torch.zeros(()), 1, batched=False), ValueError, "[T], [B, T] or [B, C, T], got []."),
        (lambda: check_rank("X", torch.zeros(3), 1, batched=True), ValueError, "shape [B, T] or [B, C, T], got [3]."),
        (lambda: check_rank("X", torch.zeros(1, 1, 1, 1, 1), 2, batched=False), ValueError, "[B, C, F, N], got "),
        (lambda: check_rate("X", 16_000, 8_000), ValueError, "new_sample_rate=16000) before it"),
        (lambda: check_lengths("X", torch.tensor([3]), 2, 5), ValueError, "lengths as int64 [2], got int64 [1]."),
        (lambda: check_lengths("X", torch.tensor([3.0]), 1, 5), ValueError, "int64 [1], got float32 [1]."),
        (lambda: check_lengths("X", torch.tensor([6]), 1, 5), ValueError, "between 0 and 5 (the last axis of data)"),
        (lambda: check_lengths("X", torch.tensor([2, -1]), 2, 5), ValueError, "got -1. "),
    ],
)
def test_errors(check: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=re.escape(text)) as caught:
        check()
    assert re.fullmatch(r"X: expected .+, got .+\. [A-Z].+\.", str(caught.value))


def test_right_values_come_back() -> None:
    assert checks.integer("X", "n", np.int64(3)) == 3
    assert type(checks.integer("X", "n", np.int64(3))) is int
    assert checks.number("X", "p", np.float32(0.5), low=0.0) == 0.5
    assert checks.positive("X", "rate", 16_000) == 16_000.0
    assert checks.choice("X", "mode", "a", ("a", "b")) == "a"
    assert checks.sequence("X", "r", (part for part in "ab")) == ["a", "b"]
    assert checks.sequence("X", "r", np.array([0.5])) == [0.5]
    assert checks.span("X", "r", 3) == (3.0, 3.0)
    assert checks.span("X", "r", [-1, 2.5]) == (-1.0, 2.5)
    check_lengths("X", torch.tensor([0, 5]), 2, 5)
    check_lengths("X", torch.zeros(0, dtype=torch.int64), 0, 5)
    check_rate("X", 16_000, 16_000.0)


MEL = ofs.MelSpectrogram(sample_rate=16_000, n_fft=64, n_mels=4)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: MEL(ofs.pad([torch.zeros(9)], rate=8_000)),
            ValueError,
            "MelSpectrogram: expected a batch of 16000 Hz (its sample_rate), got 8000 Hz. "
            "Put Resample(sample_rate=8000, new_sample_rate=16000) before it or build it for 8000.",
        ),
        (
            lambda: MEL(torch.zeros(9, dtype=torch.int32)),
            TypeError,
            "MelSpectrogram: expected data of type int16, float16, bfloat16, float32, float64, got int32. ",
        ),
        (lambda: MEL(np.zeros(9)), TypeError, "MelSpectrogram: expected a Tensor, a PaddedBatch, or a tuple or list"),
        (
            lambda: ofs.Compose([ofs.augment.Gain(), MEL])(ofs.pad([torch.zeros(9)], rate=8_000)),
            ValueError,
            "MelSpectrogram: expected a batch of 16000 Hz",
        ),
        (lambda: ofs.Compose([]), ValueError, "Compose: expected at least one step, got none. "),
        (lambda: ofs.Compose([torch.nn.ReLU()]), TypeError, "to be a Transform or an Augment, got ReLU. "),
        (lambda: ofs.STFT(sample_rate=8_000, n_fft=64, win_length=65), ValueError, "win_length to be an integer"),
        (lambda: ofs.STFT(sample_rate=8_000, backend="fft", trainable=True), ValueError, "STFT: expected "),
        (lambda: ofs.pad([], rate=8_000), ValueError, "pad: expected at least one clip, got none. "),
    ],
)
def test_what_a_user_sees(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=re.escape(text)):
        call()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (ofs.MelSpectrogram, {"n_mels": 64}),
        (ofs.MFCC, {"n_mels": 64}),
        (ofs.LFCC, {"n_filter": 64}),
        (ofs.InverseMel, {"n_mels": 64}),
    ],
)
def test_warnings_name_the_class_and_point_at_the_line_that_calls(kind: Any, options: dict[str, int]) -> None:
    with pytest.warns(UserWarning, match=rf"^{kind.__name__}: expected every \w+ filter to meet") as caught:
        kind(sample_rate=8_000, n_fft=64, **options)
    assert [one.filename for one in caught] == [__file__]


def test_a_chain_names_the_step() -> None:
    chain = ofs.Compose([ofs.augment.Gain(), MEL])
    with pytest.raises(ValueError, match=r"^Compose step 1\b.*MelSpectrogram"):
        chain(ofs.pad([torch.zeros(9)], rate=8_000))
