"""Forms of items and targets: dictionaries, second waves, lists of numbers, wrong lines of manifests."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soxr
import torch
from torch.utils.data import DataLoader, Dataset

import ontheflyspec as ofs
from tests.data.files import RATE, made, tone

LISTS = [[1.5, 2.0], [3.0], [], [4.0, 5.0, 6.0]]


@pytest.mark.parametrize("batches", [[[0, 1], [2, 3]], [[1], [2], [0, 3]]])
@pytest.mark.parametrize("form", [list, np.array, torch.tensor, tuple])
def test_lists_of_unlike_length_are_a_pair_in_every_batch(audio, form, batches):
    clips = made([audio(f"{place}.wav", 100 + place) for place in range(4)], list(map(form, LISTS)))
    assert clips[3][1] == LISTS[3]
    plain = DataLoader(clips, batch_sampler=batches, collate_fn=ofs.collate)
    for (_, ours), (_, theirs), places in zip(ofs.AudioLoader(clips, batches), plain, batches, strict=True):
        for values, lengths in (ours, theirs):
            assert (values.dtype, lengths.dtype) == (torch.float32, torch.int64)
            assert lengths.tolist() == [len(LISTS[place]) for place in places]
            assert [row[:size].tolist() for row, size in zip(values, lengths, strict=True)] == [
                LISTS[p] for p in places
            ]
            assert all(not row[size:].any() for row, size in zip(values, lengths, strict=True))
    assert clips.subset([3, 0]).targets[0] == LISTS[3]
    both = ofs.AudioDataset.concat([clips, clips.subset([1])])
    assert list(both.targets) == [*LISTS, LISTS[1]]


def test_lists_of_equal_length_are_a_tensor(audio):
    paths = [audio(f"{place}.wav", 100 + place) for place in range(3)]
    clips = made(paths, [[1, 2], [3, 4], [5, 6]])
    for batch in (next(iter(ofs.AudioLoader(clips, [[2, 0]]))), ofs.collate([clips[2], clips[0]])):
        assert batch[1].dtype == torch.int64
        assert batch[1].tolist() == [[5, 6], [1, 2]]
    assert made(paths, [[1.5, 2], [3, 4], [5, 6]]).targets.dtype == np.float64


def wrong_lines(tmp_path, audio):
    audio("a.wav", 1_000)
    audio("b.wav", 1_000)
    path = tmp_path / "m.csv"
    path.write_text(
        'path,label,offset,duration\na.wav,one,0,0.01\n,two,,\nb.wav,,0,0.01\nb.wav,two,x,1\nb.wav,"tw"o,0,0.01\n'
        'b.wav,two,0,0.01,9\nb.wav,two,0.5,0.1\n"b.wav,two,0,0.01\nb.wav,two,0.01,0.02\n'
    )
    return path


def test_wrong_lines_of_a_table_are_left_out_and_listed(audio, tmp_path):
    path = wrong_lines(tmp_path, audio)
    with pytest.raises(ValueError, match=r"line 6|line 3"):
        ofs.AudioDataset.from_manifest(path, sample_rate=RATE)
    clips = ofs.AudioDataset.from_manifest(path, sample_rate=RATE, on_error="skip")
    assert [clips.classes[target] for target in clips.targets] == ["one", "two"]
    assert clips.lengths.tolist() == [160, 320]
    found = [(failure.path.rpartition("/")[2], failure.reason) for failure in clips.failures]
    assert ("b.wav", "is shorter than its part in the manifest") in found
    lines = {reason.split(":")[0] for name, reason in found if name == "m.csv"}
    assert lines == {f"line {line}" for line in (3, 4, 5, 6, 7, 9)}


def test_wrong_lines_of_json(audio, tmp_path):
    audio("a.wav", 1_000)
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "a.wav", "label": 3}\n{"path": "a.wav", "label"\n[]\n\n{"label": 4}\n{"path": "a.wav"}\n')
    clips = ofs.AudioDataset.from_manifest(path, sample_rate=RATE, on_error="skip")
    assert clips.targets.tolist() == [3]
    assert [failure.reason.split(":")[0] for failure in clips.failures] == ["line 2", "line 3", "line 5", "line 6"]
    path.write_text("[]\n[]\n")
    with pytest.raises(ValueError, match="at least one clip, got none"):
        ofs.AudioDataset.from_manifest(path, sample_rate=RATE, on_error="skip")


def pairs(*sizes):
    """Returns noisy and clean waves, with a label each."""
    return [(tone(size, seed=size).astype("f4"), tone(size, seed=size + 1).astype("f4"), 3) for size in sizes]


MOVES = [
    ofs.augment.TimeShift(shift_s=(0.01, 0.02)),
    ofs.augment.RandomCrop(seconds=0.02),
    ofs.augment.AdjustDuration(seconds=0.05),
    ofs.augment.TimeInversion(),
    ofs.augment.ChunkSwap(n_chunks=4),
    ofs.augment.Speed(factor=(0.9, 1.1)),
    ofs.augment.TimeStretch(rate=(0.8, 1.2)),
    ofs.OneOf([ofs.augment.TimeShift(shift_s=(0.01, 0.02)), ofs.augment.RandomCrop(seconds=0.02)]),
    ofs.Sometimes(ofs.augment.RandomCrop(seconds=0.02), p=0.5),
]


@pytest.mark.parametrize("step", MOVES, ids=lambda step: type(step).__name__)
def test_a_second_wave_moves_as_the_first(step):
    """A step that moves time gives the second wave what it gives the first with the same table."""
    batch, second, labels = ofs.Collate(rate=RATE)(pairs(900, 700, 1000, 800))
    assert isinstance(second, ofs.PaddedBatch)
    assert second.lengths is batch.lengths
    assert labels.tolist() == [3, 3, 3, 3]
    batch = batch._replace(ids=torch.arange(4))
    chain = ofs.Compose([step], seed=1)
    moved, beside, _ = chain((batch, second, labels))
    alone = chain.replay(second, chain.draw(batch))
    assert moved.lengths.tolist() == beside.lengths.tolist()
    assert not moved.data.equal(beside.data)
    for one, other in zip(beside.unpad(), alone.unpad(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_second_wave_is_trimmed_where_the_first_is():
    wave = np.concatenate([np.zeros(3_000), tone(9_000), np.zeros(4_000)]).astype("f4")
    clean = tone(16_000, seed=3).astype("f4")
    batch, second = ofs.Collate(rate=RATE)([(wave, clean), (wave[500:], clean[500:])])
    trimmed, beside = ofs.TrimSilence(top_db=40.0)((batch, second))
    assert trimmed.lengths.equal(beside.lengths)
    for place in range(2):
        size = int(trimmed.lengths[place])
        windows = batch.data[place].unfold(0, size, 1)
        start = int((windows == trimmed.data[place, :size]).all(1).nonzero()[0])
        assert beside.data[place, :size].equal(second.data[place, start : start + size])


def test_a_second_wave_stays_where_time_stays():
    batch, second, _ = ofs.Collate(rate=RATE)(pairs(900, 700))
    for step in (
        ofs.augment.AddColoredNoise(),
        ofs.augment.TimeMask(),
        ofs.Gain(gain_db=6.0),
        ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=64, n_mels=20),
    ):
        assert step((batch, second))[1].data.equal(second.data)


def test_a_second_wave_that_cannot_follow_is_an_error():
    batch, second, _ = ofs.Collate(rate=RATE)(pairs(900, 700))
    other = second._replace(lengths=torch.tensor([800, 700]))
    with pytest.raises(ValueError, match=r"TimeShift: expected a second batch of the rate .*, got other lengths"):
        ofs.augment.TimeShift(shift_s=(0.01, 0.02))((batch, other))
    mel = ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=64, n_mels=20)
    with pytest.raises(ValueError, match=r"got 16000.0 steps per second beside 250"):
        ofs.Compose([mel, ofs.augment.SpecAugment(time_warp_param=2)])((batch, second))
    with pytest.raises(TypeError, match="targets that can be mixed, got PaddedBatch"):
        ofs.augment.MixUp()((batch, second))
    with pytest.raises(TypeError, match="targets that nothing moves, got PaddedBatch"):
        ofs.Parallel(a=ofs.Compose([ofs.augment.RandomCrop(seconds=0.02), mel]), b=mel)((batch, second))


def test_clips_beside_the_first_are_a_batch_of_their_own():
    items = [(ofs.Clip(torch.ones(size), 8_000.0, 7), ofs.Clip(torch.ones(size // 2), 4_000.0)) for size in (10, 20)]
    _, second = ofs.collate(items)
    assert (second.rate, second.lengths.tolist(), second.ids.tolist()) == (4_000.0, [5, 10], [7, 7])
    targets = [(torch.ones(5), torch.ones(4)), (torch.ones(6), torch.ones(6))]  # not as long in every item
    assert isinstance(ofs.Collate(rate=8_000)(targets)[1], list)


class Dictionaries(Dataset):
    def __init__(self, **more):
        self.more = more

    def __len__(self):
        return 6

    def __getitem__(self, place):
        wave = torch.from_numpy(tone(500 + 50 * place, seed=place)).float()
        return {"name": f"n{place}", "audio": wave, "label": place, "two": torch.tensor([1.0, place])} | self.more


def test_dictionaries_from_data_set_to_features():
    mel = ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=64, n_mels=20)
    collate = ofs.Collate(rate=RATE, key="audio")
    batch = next(iter(DataLoader(Dictionaries(), batch_size=3, collate_fn=collate)))
    assert list(batch) == ["name", "audio", "label", "two"]
    assert batch["name"] == ["n0", "n1", "n2"]
    assert (batch["label"].tolist(), batch["two"].tolist()) == ([0, 1, 2], [[1, 0], [1, 1], [1, 2]])
    expected = mel(batch["audio"])
    for result in (
        mel(batch, key="audio"),
        ofs.Compose([mel])(batch, key="audio"),
        ofs.Compose([mel], key="audio")(batch),
        ofs.Collate(ofs.Compose([mel]), rate=RATE, key="audio")([Dictionaries()[place] for place in range(3)]),
        ofs.Collate(mel, rate=RATE, key="audio")([Dictionaries()[place] for place in range(3)]),
        next(iter(ofs.DeviceLoader([batch], ofs.Compose([mel]), device="cpu", key="audio"))),
        next(iter(ofs.DeviceLoader([batch], mel, device="cpu", key="audio"))),
    ):
        assert list(result) == list(batch)
        assert result["audio"].data.equal(expected.data)
        assert result["label"].equal(batch["label"])
    crop = ofs.augment.RandomCrop(seconds=0.02)
    assert crop(batch, key="audio")["audio"].lengths.max() == 320
    sliced = ofs.Compose([crop, mel], key="audio")[1:]
    assert sliced(batch)["audio"].data.equal(expected.data)
    given = next(iter(ofs.DeviceLoader([batch], lambda found: sorted(found), device="cpu", key="audio")))
    assert given == ["audio", "label", "name", "two"]


def test_integers_in_dictionaries_cross_as_integers():
    batch = {"audio": ofs.pad([torch.full((5,), 16384, dtype=torch.int16)], rate=RATE), "label": torch.tensor([1])}
    found = next(iter(ofs.DeviceLoader([batch], None, device="cpu", key="audio")))
    assert found["audio"].data.tolist() == [[0.5] * 5]


def test_dictionaries_of_the_datasets_library():
    items = [
        {"audio": {"array": np.ones(5 + place), "sampling_rate": 8_000, "path": "x"}, "text": "a"} for place in (0, 2)
    ]
    batch = ofs.Collate(key="audio")(items)
    assert (batch["audio"].lengths.tolist(), batch["audio"].rate, batch["text"]) == ([5, 7], 8_000.0, ["a", "a"])


def test_dictionaries_that_are_wrong():
    batch = ofs.Collate(rate=RATE, key="audio")([Dictionaries()[0]])
    gain = ofs.Gain(gain_db=6.0)
    with pytest.raises(TypeError, match=r"Gain: expected key= with a dictionary, got 'name': list, 'audio': Pad"):
        gain(batch)
    with pytest.raises(TypeError, match=r"Compose: expected a PaddedBatch under the key 'wave'"):
        ofs.Compose([gain], key="wave")(batch)
    with pytest.raises(ValueError, match=r"equal keys, 'wave' among them, got name, audio, label, two in item 0"):
        ofs.Collate(rate=RATE, key="wave")([Dictionaries()[0]])
    with pytest.raises(ValueError, match="got int in item 1"):
        ofs.Collate(rate=RATE, key="audio")([Dictionaries()[0], 3])
    with pytest.raises(TypeError, match="or of dictionaries with one at key, got one of dict"):
        next(iter(ofs.DeviceLoader([batch], gain, device="cpu")))


def test_rate_of_each_item():
    """As torchaudio's data sets give them: (wave [1, T], rate, ...)."""
    items = [
        (torch.from_numpy(tone(1_600)).float()[None], 16_000, "a"),
        (torch.from_numpy(tone(800)).float()[None], 8_000, "b"),
    ]
    with pytest.raises(ValueError, match=r"got 8000 Hz for clip 1\. Pass sample_rate, which they are resampled to"):
        ofs.Collate(rate="item")(items)
    batch, names = ofs.Collate(rate="item", sample_rate=16_000)(items)
    assert (batch.data.shape, batch.lengths.tolist(), batch.rate, names) == (
        (2, 1, 1_600),
        [1_600] * 2,
        16_000.0,
        ["a", "b"],
    )
    expected = soxr.resample(items[1][0][0].numpy(), 8_000, 16_000)
    np.testing.assert_allclose(batch.data[1, 0, : len(expected)].numpy(), expected, atol=1e-5)
    assert ofs.Collate(rate="item")(items[:1])[0].rate == 16_000.0
    with pytest.raises(ValueError, match=r"items \(wave, rate, ...\), got waves alone"):
        ofs.Collate(rate="item")([torch.ones(3)])
    clips = [ofs.Clip(torch.ones(10), 8_000.0), ofs.Clip(torch.ones(10), 16_000.0)]
    assert ofs.Collate(sample_rate=8_000)(clips).lengths.tolist() == [10, 5]


@pytest.mark.parametrize("turn", [lambda x: x[::-1], lambda x: x.astype(">f4"), lambda x: np.repeat(x, 2)[::2]])
def test_arrays_of_any_stride_and_byte_order(turn):
    wave = tone(500).astype("f4")
    batch, other = ofs.Collate(rate=RATE)([(turn(wave), turn(np.arange(4.0).astype("f4")))])
    np.testing.assert_array_equal(batch.data[0].numpy(), turn(wave))
    assert other.tolist() == [turn(np.arange(4.0)).tolist()]


def test_a_column_that_no_reader_uses_keeps_its_kind(audio, tmp_path):
    audio("a.wav", 100)
    with open(tmp_path / "m.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "speaker"], ["a.wav", "x", "s1"]])
    assert list(ofs.AudioDataset.from_manifest(tmp_path / "m.csv", sample_rate=RATE).columns["speaker"]) == ["s1"]
