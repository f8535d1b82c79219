"""Padded batches: padding, masks, filling, moving, and how they travel."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory

import ontheflyspec as ofs
from ontheflyspec import checks
from ontheflyspec.batch import Clip, PaddedBatch, as_float, check_rate, lift, per_item


def ragged() -> PaddedBatch:
    return ofs.pad(
        [torch.tensor([1.0, -2.0]), torch.tensor([3.0, 4.0, 5.0]), torch.zeros(0)], rate=8_000, ids=[7, 8, 9]
    )


def test_pad() -> None:
    batch = ragged()
    assert batch.data.tolist() == [[1.0, -2.0, 0.0], [3.0, 4.0, 5.0], [0.0, 0.0, 0.0]]
    assert batch.lengths.tolist() == [2, 3, 0]
    assert batch.lengths.dtype == batch.ids.dtype == torch.int64
    assert batch.ids.tolist() == [7, 8, 9]
    assert batch.rate == 8_000.0
    assert isinstance(batch.rate, float)


def test_pad_channels_and_arrays() -> None:
    batch = ofs.pad([np.ones((2, 3), dtype=np.float32), torch.full((2, 1), 2.0)], rate=1)
    assert batch.data.shape == (2, 2, 3)
    assert batch.data[1].tolist() == [[2.0, 0.0, 0.0]] * 2
    assert batch.ids is None


def test_pad_does_not_share_memory() -> None:
    wave = torch.ones(4)
    batch = ofs.pad([wave], rate=1)
    batch.data.zero_()
    assert wave.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((torch.int16, torch.int16), torch.int16),
        ((torch.float64, torch.float64), torch.float64),
        ((torch.int16, torch.float32), torch.float32),
        ((torch.int16, torch.float64), torch.float64),
        ((torch.float32, torch.float64), torch.float64),
        ((torch.float16, torch.float32), torch.float32),
    ],
)
def test_pad_types(kinds: tuple[torch.dtype, ...], expected: torch.dtype) -> None:
    waves = [torch.full((3,), 16_384 if kind == torch.int16 else 0.5).to(kind) for kind in kinds]
    batch = ofs.pad(waves, rate=1)
    assert batch.data.dtype == expected
    assert as_float(batch.data).unique().tolist() == [0.5]


def test_pad_refuses() -> None:
    with pytest.raises(ValueError, match=r"pad: expected at least one clip, got none\."):
        ofs.pad([], rate=1)
    with pytest.raises(ValueError, match=r"channels of the first, \[2\], got shape \[3, 5\] for clip 1\. Mix"):
        ofs.pad([torch.zeros(2, 5), torch.zeros(3, 5)], rate=1)
    with pytest.raises(TypeError, match=r"pad: expected data of type int16, float16.*got int64\. Convert it"):
        ofs.pad([torch.zeros(3, dtype=torch.int64)], rate=1)
    with pytest.raises(ValueError, match=r"expected 1 ids, got \[2\]\."):
        ofs.pad([torch.zeros(3)], rate=1, ids=[1, 2])
    with pytest.raises(ValueError, match=r"pad: expected rate above 0, got 0\."):
        ofs.pad([torch.zeros(3)], rate=0)


def test_mask_and_unpad() -> None:
    batch = ragged()
    assert batch.mask().tolist() == [[True, True, False], [True] * 3, [False] * 3]
    assert [item.tolist() for item in batch.unpad()] == [[1.0, -2.0], [3.0, 4.0, 5.0], []]
    again = ofs.pad(batch.unpad(), rate=batch.rate, ids=batch.ids)
    assert torch.equal(again.data, batch.data)


def test_filled() -> None:
    batch = ragged()
    assert batch.filled(-9.0).tolist() == [[1.0, -2.0, -9.0], [3.0, 4.0, 5.0], [-9.0] * 3]
    assert batch.filled("min").tolist() == [[1.0, -2.0, -2.0], [3.0, 4.0, 5.0], [0.0] * 3]
    assert batch.data[0, 2] == 0
    dirty = batch._replace(data=batch.data.masked_fill(~batch.mask(), math.nan))
    assert torch.equal(dirty.filled("min"), batch.filled("min"))
    assert torch.equal(dirty.filled(0), batch.data)


def test_filled_spectrograms_and_whole_numbers() -> None:
    spectra = PaddedBatch(torch.arange(12.0).reshape(1, 2, 2, 3) - 5, torch.tensor([2]), 100.0)
    assert spectra.filled("min")[..., 2].tolist() == [[[-5.0] * 2] * 2]
    whole = PaddedBatch(torch.tensor([[5, 9, 3]], dtype=torch.int16), torch.tensor([2]), 8_000.0)
    assert whole.filled("min").tolist() == [[5, 9, 5]]
    assert whole.filled("min").dtype == torch.int16
    empty = PaddedBatch(torch.zeros(2, 0), torch.zeros(2, dtype=torch.int64), 1.0)
    assert empty.filled("min").shape == (2, 0)


def test_filled_refuses() -> None:
    with pytest.raises(TypeError, match=r"PaddedBatch.filled: expected value to be a finite number, got 'max'"):
        ragged().filled("max")


def test_to_divides_int16() -> None:
    whole = PaddedBatch(torch.tensor([[-32768, 16384, 32767]], dtype=torch.int16), torch.tensor([3]), 1.0)
    for kind in (torch.float32, torch.float64):
        moved = whole.to(dtype=kind)
        assert moved.data.dtype == kind
        assert moved.data.tolist() == [[-1.0, 0.5, 32767 / 32768]]
    assert whole.to(torch.device("cpu")).data.dtype == torch.int16


def test_to_leaves_lengths_and_ids_on_the_host() -> None:
    moved = ragged().to("meta", torch.float64)
    assert moved.data.device.type == "meta"
    assert moved.data.dtype == torch.float64
    assert moved.lengths.tolist() == [2, 3, 0]
    assert moved.ids.tolist() == [7, 8, 9]


def test_as_float() -> None:
    assert as_float(torch.ones(1, dtype=torch.float16)).dtype == torch.float32
    assert as_float(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
    double = torch.ones(1, dtype=torch.float64)
    assert as_float(double) is double
    assert as_float(torch.ones(1, dtype=torch.complex64), torch.float64).dtype == torch.complex64


def test_per_item_broadcasts() -> None:
    spread = per_item(torch.tensor([1.0, 2.0], dtype=torch.float64), torch.zeros(2, 3, 4))
    assert spread.shape == (2, 1, 1)
    assert spread.dtype == torch.float32


def test_pytree() -> None:
    batch = ragged()
    doubled = pytree.tree_map(lambda leaf: leaf * 2 if isinstance(leaf, torch.Tensor) else leaf, batch)
    assert isinstance(doubled, PaddedBatch)
    assert torch.equal(doubled.data, batch.data * 2)
    assert doubled.rate == batch.rate


def test_pickle() -> None:
    again = pickle.loads(pickle.dumps(ragged()))
    assert isinstance(again, PaddedBatch)
    assert torch.equal(again.data, ragged().data)
    clip = pickle.loads(pickle.dumps(Clip(torch.ones(3), 8_000.0, -5)))
    assert isinstance(clip, Clip)
    assert clip.id == -5


def padded(clips: list[torch.Tensor]) -> PaddedBatch:
    return ofs.pad(clips, rate=8_000, ids=[int(clip[0]) for clip in clips])


@pytest.mark.parametrize("workers", [0, 1])
def test_crosses_processes(workers: int) -> None:
    clips = [torch.arange(1.0, 2.0 + length) for length in range(5)]
    batches = list(DataLoader(clips, batch_size=2, collate_fn=padded, num_workers=workers))
    assert all(type(batch) is PaddedBatch for batch in batches)
    assert [batch.lengths.tolist() for batch in batches] == [[1, 2], [3, 4], [5]]
    assert torch.equal(batches[1].data, padded(clips[2:4]).data)


def test_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DataLoader's own pinning keeps the type and pins the data."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *_: pinned.append(self.tolist()) or self.clone())
    batch, label = pin_memory((ragged(), torch.zeros(1)))
    assert type(batch) is PaddedBatch
    assert batch.rate == 8_000.0
    assert torch.equal(batch.data, ragged().data)
    assert ragged().data.tolist() in pinned
    assert label.tolist() in pinned


def test_lift() -> None:
    batch, calls = ragged(), (lambda given: given._replace(rate=1.0), lambda data: data + 1)
    assert lift("x", batch, *calls).rate == 1.0
    assert lift("x", torch.zeros(2), *calls).tolist() == [1.0, 1.0]
    out = lift("x", (batch, "label", 3), *calls)
    assert type(out) is tuple
    assert out[0].rate == 1.0
    assert out[1:] == ("label", 3)
    assert type(lift("x", [batch, "label"], *calls)) is list
    for wrong in ("text", (torch.zeros(2), 1), [], {"data": batch}, np.zeros(3)):
        with pytest.raises(TypeError, match=r"Gain: expected a Tensor, a PaddedBatch, or a tuple.*Pad clips"):
            lift("Gain", wrong, *calls)


@pytest.mark.parametrize(
    ("lengths", "match"),
    [
        (torch.tensor([2, 4, 0]), r"lengths between 0 and 3 \(the last axis of data\), got 4\."),
        (torch.tensor([2, -1, 0]), r"lengths between 0 and 3 \(the last axis of data\), got -1\."),
        (torch.tensor([2, 3]), r"lengths as int64 \[3\], got int64 \[2\]\."),
        (torch.tensor([2.0, 3.0, 0.0]), r"lengths as int64 \[3\], got float32 \[3\]\."),
        (torch.tensor([[2, 3, 0]]), r"lengths as int64 \[3\], got int64 \[1, 3\]\."),
    ],
)
def test_wrong_lengths(lengths: torch.Tensor, match: str) -> None:
    with pytest.raises(ValueError, match="Gain: expected " + match):
        ofs.augment.Gain()(ragged()._replace(lengths=lengths))


def test_check_messages() -> None:
    """Each rule of `checks` names where, what, the value and the remedy."""
    cases = [
        (lambda: checks.integer("W", "n", 0), ValueError, r"^W: expected n to be an integer of at least 1, got 0\. C"),
        (lambda: checks.integer("W", "n", 2.0), TypeError, r"^W: expected n to be an integer.*got 2\.0\. Pass a whole"),
        (lambda: checks.integer("W", "n", True), TypeError, r"got True\."),
        (lambda: checks.number("W", "x", math.inf), ValueError, r"^W: expected x to be a finite number, got inf\."),
        (lambda: checks.number("W", "x", 3, high=2), ValueError, r"between -inf and 2, got 3\.0\. Change x\.$"),
        (lambda: checks.choice("W", "m", "z", ("a", "b")), ValueError, r"m to be one of 'a' \| 'b', got 'z'\."),
        (lambda: checks.span("W", "s", (2, 1)), ValueError, r"low <= high, got \(2\.0, 1\.0\)\. Swap the two\.$"),
        (lambda: checks.span("W", "s", "ab"), TypeError, r"a number or a pair \(low, high\), got 'ab'\."),
        (
            lambda: check_rate("W", 16_000, 8_000),
            ValueError,
            r"16000 Hz \(its sample_rate\), got 8000 Hz\. Put",
        ),
    ]
    for call, kind, match in cases:
        with pytest.raises(kind, match=match):
            call()
    assert checks.span("W", "s", 3) == (3.0, 3.0)
    assert checks.integer("W", "n", np.int64(4)) == 4


def test_flipped_arrays_and_those_of_the_other_byte_order_are_read() -> None:
    waves = [np.arange(5.0)[::-1], np.arange(3, dtype=">f8"), np.asfortranarray(np.ones((1, 4)))[0]]
    assert ofs.pad(waves, rate=8).data.tolist() == [[4, 3, 2, 1, 0], [0, 1, 2, 0, 0], [1, 1, 1, 1, 0]]
    integers = ofs.pad([np.arange(5, dtype=">i2")[::-1]], rate=8).data
    assert (integers.dtype, integers.tolist()) == (torch.int16, [[4, 3, 2, 1, 0]])


@pytest.mark.parametrize(
    "use", [ofs.Log(), ofs.PaddedBatch.mask, ofs.PaddedBatch.unpad, lambda batch: batch.filled(0.0)]
)
def test_lists_for_lengths_raise(use) -> None:
    with pytest.raises(TypeError, match=r"expected lengths as a Tensor, int64 \[2\], got list\. Write torch\.tensor"):
        use(ofs.PaddedBatch(torch.ones(2, 3, 4), [4, 2], 1.0))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("step", [ofs.PreEmphasis(), ofs.augment.Gain(), ofs.MelSpectrogram(sample_rate=8_000)])
def test_nested_tensors_raise(step) -> None:
    nested = torch.nested.nested_tensor([torch.ones(3), torch.ones(4)])
    with pytest.raises(TypeError, match=r"expected a padded Tensor, got a nested one\. Pad its parts: ofs\.pad"):
        step(nested)
    assert ofs.pad(nested.unbind(), rate=8).lengths.tolist() == [3, 4]
