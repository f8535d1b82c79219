"""The data set against what was written: lengths, crops, rates, channels, targets, splits."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

import ontheflyspec as ofs
from ontheflyspec.data.targets import divide
from ontheflyspec.identity import Identity
from tests.data.batches import by_torch
from tests.data.files import RATE, floats, made, samples, tone


def test_items_are_what_the_files_hold(audio):
    paths = [audio("a.wav", 100), audio("b.flac", 70), audio("c.ogg", 900), audio("d.wav", 33, subtype="FLOAT")]
    clips = made(paths, [3, 1, 2, 0])
    assert len(clips) == 4
    assert clips.lengths.dtype == np.int64
    assert clips.lengths.tolist() == [100, 70, 900, 33]
    assert list(clips.paths) == paths
    for index, (clip, target) in enumerate(clips):
        assert target == [3, 1, 2, 0][index]
        assert clip.wave.dtype == torch.float32
        assert (clip.rate, clip.id) == (RATE, None)
        np.testing.assert_array_equal(floats(clip.wave), samples(paths[index]))


def test_a_draw_gives_the_id_of_clip_and_epoch(audio):
    clips = made([audio("a.wav", 10), audio("b.wav", 20)])
    assert clips[ofs.Draw(1, epoch=3)].id == Identity(1, 3).id()
    assert clips.subset([1])[ofs.Draw(0, epoch=3)].id == Identity(1, 3).id()
    assert [clip.id for clip in clips.__getitems__([ofs.Draw(0, epoch=1), 1])] == [Identity(0, 1).id(), None]


def test_indices_count_as_in_a_list(audio):
    clips = made([audio("a.wav", 10), audio("b.wav", 20)])
    assert len(clips[-1].wave) == 20
    for index in (2, -3):
        with pytest.raises(IndexError, match=rf"AudioDataset: expected an index from -2 to 1, got {index}\."):
            clips[index]
    with pytest.raises(TypeError):
        clips["a"]


def test_channels_are_mixed_or_kept(audio):
    wave = tone(500, channels=3)
    path, mono = audio("a.wav", wave), audio("b.wav", 400)
    mixed = made([path, mono])[0].wave
    assert mixed.dtype == torch.float32
    np.testing.assert_allclose(mixed, samples(path).mean(1), atol=1e-7)
    kept = made([path], mono=False)[0].wave
    assert kept.dtype == torch.float32
    np.testing.assert_array_equal(floats(kept), samples(path).T)
    assert made([mono], mono=False)[0].wave.shape == (1, 400)
    with pytest.raises(ValueError, match=r"equally many channels in all files, 1, got 3 in '.*a.wav'. Pass mono=True"):
        made([path, mono, audio("c.wav", 10)], mono=False)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_other_rates_are_resampled_to_the_ceiling(audio, rate):
    path = audio("a.flac", tone(5_003, channels=2), rate)
    clips = made([path])
    assert clips.lengths.tolist() == [math.ceil(5_003 * RATE / rate)]
    expected = ofs.load(path, sample_rate=RATE).wave.mean(0)
    assert clips[0].wave.shape == expected.shape
    torch.testing.assert_close(clips[0].wave, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rate", [8_000, RATE, 22_050, 44_100])
@pytest.mark.parametrize("name", ["a.wav", "b.ogg", "c.mp3"])
def test_a_crop_is_a_part_of_the_whole_clip(audio, name, rate):
    path = audio(name, 4 * rate, rate)
    whole = floats(made([path])[0].wave)
    start = floats(made([path], max_seconds=0.5, crop="start")[0].wave)
    np.testing.assert_allclose(start, whole[:8_000], atol=2e-6)
    clips = made([path], max_seconds=0.5)
    assert clips.lengths.tolist() == [8_000]
    found = set()
    for epoch in range(6):
        wave = floats(clips[ofs.Draw(0, epoch=epoch)].wave)
        np.testing.assert_array_equal(wave, floats(clips[ofs.Draw(0, epoch=epoch)].wave))
        errors = np.abs(np.lib.stride_tricks.sliding_window_view(whole, 8_000)[:, 100:140] - wave[100:140]).max(1)
        place = int(errors.argmin())
        np.testing.assert_allclose(wave, whole[place : place + 8_000], atol=2e-6)
        found.add(place)
    assert len(found) == 6


def test_crops_lie_evenly_from_the_first_start_to_the_last(audio):
    clips = made([audio("a.wav", np.arange(1_003) / 32768)], max_seconds=1_000 / RATE)
    starts = Counter(int(clips[ofs.Draw(0, epoch=epoch)].wave[0] * 32768) for epoch in range(1_000))
    assert set(starts) == {0, 1, 2, 3}
    assert all(abs(count - 250) < 4 * math.sqrt(1_000 * 0.25 * 0.75) for count in starts.values())


def test_crops_without_ids_come_from_torchs_generator(audio):
    clips = made([audio("a.wav", 5_000)], max_seconds=100 / RATE)
    torch.manual_seed(1)
    first, second = clips[0].wave, clips[0].wave
    torch.manual_seed(1)
    assert torch.equal(clips[0].wave, first)
    assert not torch.equal(first, second)


def test_crops_read_only_what_is_needed(audio, monkeypatch):
    clips = made([audio("a.flac", 80_000), audio("b.flac", 220_500, 44_100)], max_seconds=0.5)
    asked = []
    original = soundfile.SoundFile.read

    def spy(self, *args, **options):
        asked.append(len(options["out"]))
        return original(self, *args, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    clips.__getitems__([ofs.Draw(0, epoch=1), ofs.Draw(1, epoch=1)])
    assert asked[0] == 8_000
    assert 22_050 <= asked[1] <= 22_050 + 6 * 441


@pytest.mark.parametrize(
    ("targets", "kept", "classes"),
    [
        (["dog", "cat", "dog"], [1, 0, 1], ["cat", "dog"]),
        ((2, 0, 1), [2, 0, 1], None),
        (torch.tensor([1, 0, 2]), [1, 0, 2], None),
        (np.array([0.5, 1.5, 2.5], np.float32), [0.5, 1.5, 2.5], None),
        ([0.5, 1, 2], [0.5, 1.0, 2.0], None),
        ([[1, 2], [3], []], [[1, 2], [3], []], None),
    ],
)
def test_targets(audio, targets, kept, classes):
    clips = made([audio(f"{name}.wav", 10) for name in "abc"], targets)
    assert list(clips.targets) == kept
    assert clips.classes == classes
    assert [target for _, target in clips] == kept
    assert [target for _, target in clips.subset([2, 0])] == [kept[2], kept[0]]


def test_bad_arguments(audio):
    path = audio("a.wav", 10)
    for error, match, call in (
        (ValueError, "at least one file, got none", lambda: made([])),
        (TypeError, "paths as a list, got '.*from_folder", lambda: made(path)),
        (ValueError, "one target a clip, got 2 for 1 clips", lambda: made([path], [1, 2])),
        (TypeError, "targets as a sequence, got str", lambda: made([path], "a")),
        (ValueError, "crop to be one of 'random' | 'start'", lambda: made([path], crop="end")),
        (ValueError, "on_error to be one of 'raise' | 'skip'", lambda: made([path], on_error="ignore")),
        (ValueError, "max_seconds above 0, got 0", lambda: made([path], max_seconds=0)),
        (ValueError, "max_failures to be an integer of at least 0", lambda: made([path], max_failures=-1)),
        (ValueError, "sample_rate in whole Hz", lambda: made([path], sample_rate=0.5)),
        (
            TypeError,
            "AudioDataset.from_folder: got an unexpected keyword argument 'mon'",
            lambda: ofs.AudioDataset.from_folder(Path(path).parent, sample_rate=1, mon=1),
        ),
        (TypeError, "whole numbers", lambda: made([path]).subset([True])),
        (IndexError, "an index from -1 to 0, got 1", lambda: made([path]).subset([1])),
    ):
        with pytest.raises(error, match=match):
            call()


def test_subsets_share_their_tables_and_keep_places(audio):
    clips = made([audio(f"{size}.wav", size) for size in (10, 20, 30, 40)], ["a", "b", "a", "b"])
    part = clips.subset(np.array([3, -3, 0])).subset(torch.tensor([2, 1]))
    assert part.lengths.tolist() == [10, 20]
    assert part.targets.tolist() == [0, 1]
    assert part.classes == ["a", "b"]
    assert [Path(path).name for path in part.paths] == ["10.wav", "20.wav"]
    assert [clip.id for clip, _ in part.__getitems__([ofs.Draw(0), ofs.Draw(1)])] == [
        Identity(0, 0).id(),
        Identity(1, 0).id(),
    ]
    assert part.source is clips.source
    assert len(clips.subset([])) == 0


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**40),
)
def test_split_shares_out_every_class(sizes, fraction, seed):
    targets = np.repeat(np.arange(len(sizes)), sizes)
    clips = np.arange(len(targets)) * 3
    if max(sizes) == 1 and len(sizes) > 1:
        with pytest.raises(ValueError, match="stratify=False"):
            divide("x", clips, targets, fraction, seed)
        return
    first, second = divide("x", clips, targets, fraction, seed)
    assert sorted([*first, *second]) == list(range(len(clips)))
    for label, size in enumerate(sizes):
        count = int((targets[first] == label).sum())
        assert abs(count - fraction * size) <= 1
        assert 1 <= count <= max(1, size - 1)
    again, _ = divide("x", clips, targets, fraction, seed)
    np.testing.assert_array_equal(first, again)


def test_split_of_a_data_set(audio):
    paths = [audio(f"{place}.wav", 10 + place) for place in range(20)]
    clips = made(paths, ["rare"] + ["often"] * 12 + ["some"] * 7)
    train, valid = clips.split(0.75, seed=1)
    assert sorted([*train.paths, *valid.paths]) == sorted(paths)
    assert Counter(train.targets.tolist()) == {0: 9, 1: 1, 2: 5}
    assert Counter(valid.targets.tolist()) == {0: 3, 2: 2}
    assert list(clips.split(0.75, seed=1)[0].paths) == list(train.paths)
    assert list(clips.split(0.75, seed=2)[0].paths) != list(train.paths)
    inner, rest = train.split(0.5)
    assert sorted([*inner.paths, *rest.paths]) == sorted(train.paths)
    bare, other = made(paths).split(0.8)
    assert (len(bare), len(other)) == (16, 4)
    loose, _ = clips.split(0.5, stratify=False)
    assert len(loose) == 10
    with pytest.raises(ValueError, match="fraction to be a finite number between 0 and 1, got"):
        clips.split(1.5)


def test_classes_fix_the_numbers_of_names(audio, tmp_path):
    paths = [audio(f"set/{name}/a.wav", 10) for name in ("owl", "dog")]
    names = ["dog", "cat", "owl"]
    assert made(paths, ["owl", "dog"], classes=names).targets.tolist() == [2, 0]
    clips = ofs.AudioDataset.from_folder(tmp_path / "set", sample_rate=RATE, classes=names)
    assert (clips.targets.tolist(), clips.classes) == ([0, 2], names)
    (tmp_path / "m.csv").write_text("path,label\nset/owl/a.wav,owl\n")
    assert ofs.AudioDataset.from_manifest(tmp_path / "m.csv", sample_rate=RATE, classes=names).targets.tolist() == [2]
    for targets, classes, match in (
        (["owl", "bee"], names, r"names of the 3 classes \(dog, cat, owl\), got 'bee'\. Add the name to classes"),
        ([1, 2], names, "names of the 3 classes .*, got 1"),
        (None, names, "one target a clip, as classes are given, got none"),
        (["owl"], names, "one target a clip, as classes are given, got 1 for 2 clips"),
        (["a", "b"], ["a", "b", "a"], "classes as different names"),
    ):
        with pytest.raises(ValueError, match=match):
            made(paths, targets, classes=classes)


def test_strings_stay_texts_on_request(audio):
    paths = [audio(f"{name}.wav", 10) for name in "ab"]
    clips = made(paths, ["hello", "you"], text=True)
    assert (list(clips.targets), clips.classes, clips[1][1]) == (["hello", "you"], None, "you")
    with pytest.raises(TypeError, match="strings with text=True, got 3"):
        made(paths, ["hello", 3], text=True)


@pytest.mark.parametrize("rate", [RATE, 8_000])
@pytest.mark.parametrize("dtype", [torch.float32, None])
def test_one_side_of_a_call(audio, tmp_path, rate, dtype):
    paths = [audio(f"{place}.wav", tone(400 + place, seed=place, channels=2), rate) for place in range(2)]
    both = made(paths, mono=False)
    for channel in (0, 1):
        clips = made(paths, channel=channel, dtype=dtype)
        for clip, whole, path in zip(clips, both, paths, strict=True):
            assert clip.wave.dtype == (torch.int16 if dtype is None and rate == RATE else torch.float32)
            np.testing.assert_allclose(floats(clip.wave), whole.wave[channel], atol=1e-6)
            alone = ofs.load(path, sample_rate=RATE, channel=channel, dtype=dtype).wave
            np.testing.assert_allclose(floats(alone), whole.wave[channel], atol=1e-6)
    (tmp_path / "m.csv").write_text("path,side\n0.wav,1\n1.wav,0\n0.wav,0\n")
    clips = ofs.AudioDataset.from_manifest(tmp_path / "m.csv", sample_rate=RATE, channel="side")
    for clip, (place, channel) in zip(clips, [(0, 1), (1, 0), (0, 0)], strict=True):
        np.testing.assert_allclose(clip.wave, both[place].wave[channel], atol=1e-6)
    joined = ofs.AudioDataset.concat([clips, clips.subset([1])])
    np.testing.assert_allclose(joined[3].wave, both[1].wave[0], atol=1e-6)
    for options, match in (
        ({"channel": 2}, r"a channel from 0 to 1 of '.*0\.wav', got 2\. Correct it"),
        ({"channel": -1}, "channel to be an integer of at least 0"),
        ({"channel": "side"}, r"the name of a column, got 'side' of \[\]"),
        ({"channel": 0, "mono": False}, "mono=True with channel"),
    ):
        with pytest.raises(ValueError, match=match):
            made(paths, **options)
    with pytest.raises(ValueError, match="load: expected a channel below 2"):
        ofs.load(paths[0], channel=2)


def test_several_classes_of_a_clip_become_rows_of_0_and_1(audio, tmp_path):
    paths = [audio(f"{name}.wav", 10) for name in "abc"]
    expected = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    (tmp_path / "m.csv").write_text("path,label\na.wav,owl; bee\nb.wav,;\nc.wav,dog\n")
    for clips in (
        made(paths, [["owl", "bee"], [], ("dog",)]),
        made(paths, ["owl;bee", "", "dog"], separator=";"),
        ofs.AudioDataset.from_manifest(tmp_path / "m.csv", sample_rate=RATE, separator=";"),
    ):
        assert clips.classes == ["bee", "dog", "owl"]
        assert clips.targets.tolist() == expected
        assert clips[0][1].tolist() == expected[0]
        for loader in (ofs.AudioLoader(clips, [[2, 0]]), by_torch(clips, [[2, 0]])):
            ((_, targets),) = loader
            assert (targets.dtype, targets.tolist()) == (torch.float32, [expected[2], expected[0]])
    fixed = made(paths[:1], [["owl"]], classes=["cat", "owl"])
    assert fixed.targets.tolist() == [[0.0, 1.0]]
    both = ofs.AudioDataset.concat([fixed, clips.subset([0])])
    assert (both.classes, both.targets.tolist()) == (["bee", "cat", "dog", "owl"], [[0, 0, 0, 1], [1, 0, 0, 1]])
    for targets, options, match in (
        ([["owl"]], {"classes": ["cat"]}, "names of the 1 classes .*, got 'owl'"),
        ([["owl"], ["bee"]], {}, "one target a clip, got 2 for 1 clips"),
        ([3], {"separator": ";"}, "names in strings with separator, got other targets"),
        (["owl"], {"separator": ""}, "separator as text, got ''"),
    ):
        with pytest.raises(ValueError, match=match):
            made(paths[:1], targets, **options)
