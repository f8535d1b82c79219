"""What is shown of steps and chains: the call that makes them."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch

import ontheflyspec as ofs
from laws import Example
from registry import CASES

NAMES: dict[str, Any] = {**vars(ofs), "inf": math.inf, "tensor": torch.tensor}
BANKED = ("AddBackgroundNoise", "ApplyImpulseResponse", "Babble", "ShortNoises")
WRITTEN = [case for case in CASES if not case.name.startswith(BANKED)]


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case.name)
def test_what_is_shown_makes_the_same(case: Any) -> None:
    step = case.make()
    again = eval(repr(step), dict(NAMES))
    assert type(again) is type(step)
    assert repr(again) == repr(step) == repr(copy.deepcopy(step)) == repr(pickle.loads(pickle.dumps(step)))
    given = Example((160, 33)).batch(case)
    with torch.no_grad():
        torch.testing.assert_close(again(given).data, step(given).data, rtol=0.0, atol=0.0, equal_nan=True)


def test_options_are_shown_as_they_were_given() -> None:
    assert repr(ofs.MelSpectrogram(sample_rate=16_000, n_mels=80)) == "MelSpectrogram(sample_rate=16000, n_mels=80)"
    assert repr(ofs.augment.Gain(gain_db=(-6.0, 6.0), p=0.5)) == "augment.Gain(gain_db=(-6.0, 6.0), p=0.5)"
    assert repr(ofs.Gain(gain_db=3.0)) == "Gain(gain_db=3.0)"
    assert repr(ofs.STFT(sample_rate=8, n_fft=4, window=torch.ones(2))) == (
        "STFT(sample_rate=8, n_fft=4, window=tensor([1., 1.]))"
    )
    noise = ofs.augment.Babble(ofs.WaveformBank([torch.ones(8), torch.ones(9)], rate=8_000), p=0.5)
    assert repr(noise) == "augment.Babble(WaveformBank(<2 waves>, rate=8000.0), p=0.5)"


def test_chains_are_shown_with_their_steps() -> None:
    chain = ofs.Compose(
        [ofs.PreEmphasis(), ofs.OneOf([ofs.Gain(gain_db=1.0), ofs.augment.Gain()], weights=[1, 2])], seed=4
    )
    assert repr(chain) == (
        "Compose([PreEmphasis(), OneOf([Gain(gain_db=1.0), augment.Gain()], weights=[1, 2])], seed=4)"
    )
    chain.steps[0] = ofs.Sometimes(ofs.Telephone(low_hz=200.0, high_hz=3_000.0, order=3, sample_rate=16_000), p=0.25)
    assert repr(chain).splitlines() == [
        "Compose([",
        "    Sometimes(Telephone(low_hz=200.0, high_hz=3000.0, order=3, sample_rate=16000), p=0.25),",
        "    OneOf([Gain(gain_db=1.0), augment.Gain()], weights=[1, 2]),",
        "], seed=4)",
    ]
    both = ofs.Parallel(mel=ofs.MelSpectrogram(sample_rate=8_000), chroma=ofs.Chroma(sample_rate=8_000))
    assert repr(both) == "Parallel(mel=MelSpectrogram(sample_rate=8000), chroma=Chroma(sample_rate=8000))"


def test_steps_of_ones_own_are_shown_too() -> None:
    class Half(ofs.Transform):
        def __init__(self, share: float, *, more: int = 0) -> None:
            super().__init__()
            self.share, self.more = share, more

        def transform(self, data: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
            return data * self.share

    assert repr(Half(0.5, more=2)) == "Half(0.5, more=2)"
