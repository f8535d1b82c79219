"""Collation: what loaders of all kinds give becomes one padded batch and plain targets."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, get_worker_info

import ontheflyspec as ofs
from ontheflyspec import torch_internals
from ontheflyspec.data import collate as module

WAVES = [torch.arange(1.0, 4.0), torch.arange(1.0, 6.0), torch.ones(1)]


class Tenfold(torch.nn.Module):
    """Ten times the data, or ``scale`` times where that is trained."""

    def __init__(self, *, trainable=False):
        super().__init__()
        self.register_buffer("scale", torch.tensor(10.0))
        if trainable:
            self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        batch, *rest = (x,) if isinstance(x, ofs.PaddedBatch) else x
        weight = self.weight if hasattr(self, "weight") else 1
        batch = batch._replace(data=batch.data * self.scale * weight)
        return (batch, *rest) if rest else batch


class Waves(torch.utils.data.Dataset):
    """Anyone's own data set of (wave, label)."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.full((index + 1,), float(index)), index


def clips(*, ids=(5, 6, 7), rates=(8_000, 8_000, 8_000)):
    return [ofs.Clip(wave, rate, id) for wave, rate, id in zip(WAVES, rates, ids, strict=True)]


def padded():
    return torch.tensor([[1.0, 2, 3, 0, 0], [1, 2, 3, 4, 5], [1, 0, 0, 0, 0]])


def test_clips_give_the_bare_batch():
    batch = ofs.collate(clips())
    assert type(batch) is ofs.PaddedBatch
    torch.testing.assert_close(batch.data, padded(), rtol=0, atol=0)
    assert (batch.lengths.tolist(), batch.rate, batch.ids.tolist()) == ([3, 5, 1], 8_000, [5, 6, 7])
    assert batch.lengths.dtype == batch.ids.dtype == torch.int64


def test_one_clip_without_an_id_leaves_the_batch_without():
    assert ofs.collate(clips(ids=(5, None, 7))).ids is None


def test_ids_of_64_bits_stay_exact():
    ids = (-(2**63), 2**63 - 1, 2**53 + 1)
    assert ofs.collate(clips(ids=ids)).ids.tolist() == list(ids)


def test_targets_come_beside_the_batch():
    batch, label, name = ofs.collate([(clip, place, f"clip{place}") for place, clip in enumerate(clips())])
    assert batch.lengths.tolist() == [3, 5, 1]
    assert label.tolist() == [0, 1, 2]
    assert name == ["clip0", "clip1", "clip2"]
    (alone,) = ofs.collate([(clip,) for clip in clips()])
    assert alone.lengths.tolist() == [3, 5, 1]


@pytest.mark.parametrize("kind", ["tensor", "array", "list"])
def test_anyones_own_waves_with_a_rate(kind):
    waves = [wave.numpy() for wave in WAVES] if kind == "array" else WAVES
    items = [[wave, 1] if kind == "list" else (wave, 1) for wave in waves]
    batch, label = ofs.Collate(rate=8_000)(items)
    torch.testing.assert_close(batch.data, padded(), rtol=0, atol=0)
    assert (batch.rate, batch.ids, label.tolist()) == (8_000, None, [1, 1, 1])
    bare = ofs.Collate(rate=8_000)(waves)
    torch.testing.assert_close(bare.data, padded(), rtol=0, atol=0)


def test_waves_with_channels_and_int16_stay_what_they_are():
    batch, rate = ofs.Collate(rate=8_000)([(torch.ones(1, n, dtype=torch.int16), 8_000) for n in (2, 3)])
    assert (list(batch.data.shape), batch.data.dtype) == ([2, 1, 3], torch.int16)
    assert rate.tolist() == [8_000, 8_000]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], torch.tensor([1, 2])),
        ([ofs.Draw(1, 3), np.int32(2)], torch.tensor([1, 2])),
        ([1.5, 2], torch.tensor([1.5, 2.0])),
        ([np.float64(0.5), 2.0], torch.tensor([0.5, 2.0])),
        ([True, np.False_], torch.tensor([True, False])),
        ([torch.zeros(2), torch.ones(2)], torch.tensor([[0.0, 0.0], [1.0, 1.0]])),
        ([np.zeros(2, np.int64), np.ones(2, np.int64)], torch.tensor([[0, 0], [1, 1]])),
        ([torch.tensor(3), torch.tensor(4)], torch.tensor([3, 4])),
    ],
)
def test_plain_targets_become_one_tensor(values, expected):
    got = module.gather(values)
    assert got.dtype == expected.dtype
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "values", [["a", "b"], [None, None], [1, None], [True, 2], [{"speaker": 1}, {"speaker": 2}], [[1, "a"], [3]]]
)
def test_other_targets_become_a_list(values):
    assert module.gather(values) == values


def test_unlike_tensors_become_a_list():
    one, other = torch.zeros(2), torch.zeros(3)
    got = module.gather([one, other])
    assert type(got) is list
    assert got[0] is one
    assert got[1] is other


def test_the_transform_sees_the_whole_result():
    batch, label = ofs.Collate(transform=Tenfold())([(clip, 1) for clip in clips()])
    torch.testing.assert_close(batch.data, 10 * padded(), rtol=0, atol=0)
    assert label.tolist() == [1, 1, 1]


def test_it_pickles_with_its_transform():
    twin = pickle.loads(pickle.dumps(ofs.Collate(transform=Tenfold(), rate=8_000)))
    torch.testing.assert_close(twin(WAVES).data, 10 * padded(), rtol=0, atol=0)
    assert repr(pickle.loads(pickle.dumps(ofs.collate))) == "Collate(transform=None, rate=None)"


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_of_every_start_method(method):
    loader = DataLoader(
        Waves(),
        batch_size=3,
        collate_fn=ofs.Collate(transform=Tenfold(), rate=8_000),
        num_workers=1,
        multiprocessing_context=method,
    )
    first, second = loader
    assert (first[0].lengths.tolist(), first[0].rate, first[1].tolist()) == ([1, 2, 3], 8_000, [0, 1, 2])
    assert type(second[0]) is ofs.PaddedBatch
    assert second[0].data[2].tolist() == [50.0] * 6


@pytest.mark.parametrize(
    ("items", "error", "words"),
    [
        ([], ValueError, "Collate: expected at least one item, got none"),
        (
            clips(rates=(8_000, 16_000, 8_000)),
            ValueError,
            r"8000 Hz .*, got 16000 Hz for clip 1\. Pass sample_rate",
        ),
        ([(WAVES[0], 1)], ValueError, r"a rate for waves that are no Clip, got rate=None\. Use ofs.Collate\(rate="),
        (["a.wav"], TypeError, r"begin with a Clip, a Tensor or an array, got str\. Give \(wave, target\)"),
        ([{"audio": WAVES[0]}], TypeError, "a Tensor or an array, got dict"),
        ([()], TypeError, "a Tensor or an array, got NoneType"),
        ([(clips()[0], 1), (clips()[1],)], ValueError, r"equally many elements, got \[1, 2\]"),
        ([ofs.Clip(torch.ones(3), 8_000), ofs.Clip(torch.ones(2, 3), 8_000)], ValueError, "channels of the first"),
    ],
)
def test_bad_items_are_named(items, error, words):
    with pytest.raises(error, match=words):
        ofs.collate(items)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="rate above 0, got 0"):
        ofs.Collate(rate=0)
    with pytest.raises(TypeError, match="a transform that can be called, got int"):
        ofs.Collate(transform=8_000)


def in_a_worker(monkeypatch):
    monkeypatch.setattr(module, "get_worker_info", lambda: object())


def test_a_cuda_transform_in_a_forked_worker_is_refused(monkeypatch):
    in_a_worker(monkeypatch)
    monkeypatch.setattr(torch_internals, "cuda_lost_in_fork", lambda: True)
    assert ofs.Collate(transform=Tenfold(), rate=8_000)(WAVES).data.max() == 50
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    with pytest.raises(RuntimeError, match=r"a worker that was forked, got one on CUDA\. Put it behind the loader"):
        ofs.Collate(transform=Tenfold(), rate=8_000)(WAVES)
    monkeypatch.setattr(torch_internals, "cuda_lost_in_fork", lambda: False)
    assert ofs.Collate(transform=Tenfold(), rate=8_000)(WAVES).data.max() == 50


def test_a_trained_transform_is_refused_in_workers_only(monkeypatch):
    assert get_worker_info() is None
    collate = ofs.Collate(transform=Tenfold(trainable=True), rate=8_000)
    assert collate(WAVES).data.requires_grad
    in_a_worker(monkeypatch)
    with pytest.raises(RuntimeError, match="without trainable parameters in a worker, got an output that requires"):
        collate([(wave, 1) for wave in WAVES])
