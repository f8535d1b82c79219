"""The data set against what was written: lengths, crops, rates, channels, targets, splits, bad files, packing."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import ontheflyspec as ofs
from ontheflyspec import rng
from ontheflyspec.data import scan as scanning
from ontheflyspec.data.table import PackedStrings
from ontheflyspec.data.targets import divide
from tests.data.files import cut, tone

RATE = 16_000


def made(paths, targets=None, **options):
    return ofs.AudioDataset(paths, targets, **({"sample_rate": RATE} | options))


def samples(path, start=0, stop=None):
    return soundfile.read(path, dtype="float32", start=start, stop=stop)[0]


def floats(wave):
    return (wave.float() / 32768 if wave.dtype == torch.int16 else wave).numpy()


def test_items_are_what_the_files_hold(audio):
    paths = [audio("a.wav", 100), audio("b.flac", 70), audio("c.ogg", 900), audio("d.wav", 33, subtype="FLOAT")]
    clips = made(paths, [3, 1, 2, 0])
    assert len(clips) == 4
    assert clips.lengths.dtype == np.int64
    assert clips.lengths.tolist() == [100, 70, 900, 33]
    assert list(clips.paths) == paths
    for index, (clip, target) in enumerate(clips):
        assert target == [3, 1, 2, 0][index]
        assert clip.wave.dtype == (torch.int16 if index < 2 else torch.float32)
        assert (clip.rate, clip.id) == (RATE, None)
        np.testing.assert_array_equal(floats(clip.wave), samples(paths[index]))


def test_a_draw_gives_the_id_of_clip_and_epoch(audio):
    clips = made([audio("a.wav", 10), audio("b.wav", 20)])
    assert clips[ofs.Draw(1, epoch=3)].id == rng.item_id(1, 3)
    assert clips.subset([1])[ofs.Draw(0, epoch=3)].id == rng.item_id(1, 3)
    assert [clip.id for clip in clips.__getitems__([ofs.Draw(0, epoch=1), 1])] == [rng.item_id(0, 1), None]


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
    assert kept.dtype == torch.int16
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
    starts = Counter(int(clips[ofs.Draw(0, epoch=epoch)].wave[0]) for epoch in range(1_000))
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
            "unexpected keyword",
            lambda: ofs.AudioDataset.from_folder(Path(path).parent, sample_rate=1, mon=1),
        ),
        (TypeError, "whole numbers", lambda: made([path]).subset([True])),
        (IndexError, "an index from -1 to 0, got 1", lambda: made([path]).subset([1])),
    ):
        with pytest.raises(error, match=match):
            call()


# where clips come from


def test_folder_of_classes(audio, tmp_path):
    for name in ("set/b/x.wav", "set/b/deep/y.FLAC", "set/a/z.ogg", "set/a/.hidden.wav", "set/.no/w.wav"):
        audio(name, 50)
    (tmp_path / "set/readme.txt").write_text("no audio")
    (tmp_path / "set/a/notes.md").write_text("no audio")
    (tmp_path / "set/c").mkdir()
    (tmp_path / "set/a/loop").symlink_to(tmp_path / "set/a")
    clips = ofs.AudioDataset.from_folder(tmp_path / "set", sample_rate=RATE)
    assert [os.path.relpath(path, tmp_path / "set") for path in clips.paths] == ["a/z.ogg", "b/deep/y.FLAC", "b/x.wav"]
    assert clips.classes == ["a", "b"]
    assert clips.targets.tolist() == [0, 1, 1]


def test_folder_without_classes_and_folders_that_are_none(audio, tmp_path):
    audio("flat/b.wav", 20)
    audio("flat/a.wav", 10)
    clips = ofs.AudioDataset.from_folder(tmp_path / "flat", sample_rate=RATE)
    assert (clips.lengths.tolist(), clips.targets, clips.classes) == ([10, 20], None, None)
    assert isinstance(clips[0], ofs.Clip)
    audio("flat/one/c.wav", 10)
    with pytest.raises(ValueError, match=r"every file in a sub-folder that names its class, got .*a\.wav\. Move it"):
        ofs.AudioDataset.from_folder(tmp_path / "flat", sample_rate=RATE)
    (tmp_path / "empty/sub").mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"AudioDataset.from_folder: expected audio files .*, got none in '.*empty'\. Put"
    ):
        ofs.AudioDataset.from_folder(tmp_path / "empty", sample_rate=RATE)
    with pytest.raises(FileNotFoundError, match=r"AudioDataset.from_folder: expected a folder, got '.*nowhere'\."):
        ofs.AudioDataset.from_folder(tmp_path / "nowhere", sample_rate=RATE)


def manifest(tmp_path, name, text, **options):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return ofs.AudioDataset.from_manifest(tmp_path / name, **({"sample_rate": RATE} | options))


def test_manifests(audio, tmp_path):
    absolute = audio("in/a.wav", 100)
    audio("in/b.wav", 50)
    lines = [{"audio_filepath": "in/b.wav", "label": "no"}, {"audio_filepath": absolute, "label": "yes"}]
    clips = manifest(tmp_path, "m.jsonl", "\n\n".join(map(json.dumps, lines)))
    assert (clips.lengths.tolist(), clips.targets.tolist(), clips.classes) == ([50, 100], [0, 1], ["no", "yes"])
    clips = manifest(tmp_path, "m.csv", "\ufeffpath,target\nin/a.wav,7\nin/b.wav,3\n")
    assert (clips.lengths.tolist(), clips.targets.tolist(), clips.classes) == ([100, 50], [7, 3], None)
    clips = manifest(tmp_path, "m.tsv", "path\ttext\nin/a.wav\tçà et là\nin/b.wav\t12\n")
    assert (list(clips.targets), clips.classes) == (["çà et là", "12"], None)
    assert clips.subset([1])[0][1] == "12"
    assert manifest(tmp_path, "n.csv", "path\nin/a.wav\n").targets is None


def test_manifest_with_parts_of_files(audio, tmp_path):
    path = audio("a.wav", 16_000)
    lines = [{"path": "a.wav", "offset": 0.25, "duration": 0.5}, {"path": "a.wav", "duration": 1.05, "offset": None}]
    clips = manifest(tmp_path, "m.jsonl", "\n".join(map(json.dumps, [*lines, {"path": "a.wav", "offset": 0.9}])))
    assert clips.lengths.tolist() == [8_000, 16_000, 1_600]
    for clip, (start, stop) in zip(clips, [(4_000, 12_000), (0, 16_000), (14_400, 16_000)], strict=True):
        np.testing.assert_array_equal(floats(clip.wave), samples(path, start, stop))
    short = manifest(tmp_path, "m.jsonl", json.dumps(lines[0]), max_seconds=0.1)
    whole = samples(path)
    for epoch in range(20):
        wave = floats(short[ofs.Draw(0, epoch=epoch)].wave)
        place = int(np.flatnonzero((whole[:-1] == wave[0]) & (whole[1:] == wave[1]))[0])
        assert 4_000 <= place <= 12_000 - 1_600


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "at least one clip, got none in"),
        ("nonsense", "JSON Lines, got Expecting value in line 1 of .*one object a line"),
        ("[1]", "an object a line, got list in line 1"),
        ('{"file": "a.wav"}', "a key audio_filepath or path, got 'file' in"),
        ('{"path": "a.wav", "label": 1}\n{"path": "a.wav"}', "label for every clip, got none in line 2"),
        ('{"path": "a.wav", "offset": -1}', "offset in seconds, at least 0, got -1 in line 1"),
        ('{"path": "a.wav", "duration": "long"}', "duration in seconds, at least 0, got 'long' in line 1"),
        ('{"path": "a.wav", "duration": 2}', r"a part of '.*a.wav', 0 to 1 s, got 0 to 2 s. Correct offset"),
        ('{"path": "a.wav", "offset": 1}', r"a part of '.*a.wav', 0 to 1 s, got 1 to 1 s"),
    ],
)
def test_manifests_that_are_wrong(audio, tmp_path, text, match):
    audio("a.wav", 16_000)
    with pytest.raises(ValueError, match=f"^AudioDataset.from_manifest: expected {match}"):
        manifest(tmp_path, "m.jsonl", text)


def test_manifest_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a manifest file, got '.*none.csv'"):
        ofs.AudioDataset.from_manifest(tmp_path / "none.csv", sample_rate=RATE)


# parts of a set


def test_subsets_share_their_tables_and_keep_places(audio):
    clips = made([audio(f"{size}.wav", size) for size in (10, 20, 30, 40)], ["a", "b", "a", "b"])
    part = clips.subset(np.array([3, -3, 0])).subset(torch.tensor([2, 1]))
    assert part.lengths.tolist() == [10, 20]
    assert part.targets.tolist() == [0, 1]
    assert part.classes == ["a", "b"]
    assert [Path(path).name for path in part.paths] == ["10.wav", "20.wav"]
    assert [clip.id for clip, _ in part.__getitems__([ofs.Draw(0), ofs.Draw(1)])] == [
        rng.item_id(0, 0),
        rng.item_id(1, 0),
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


# files that lie


def bad_set(audio, **options):
    """Eight files: 0 without a header, 2 without frames, 5 (NaN) and 6 (cut) bad only when read; 1, 3, 4, 7 good."""
    paths = [audio(f"{place}.flac", 1_000 + place) for place in range(8)]
    Path(paths[0]).write_bytes(b"nothing")
    paths[2] = audio("2.wav", np.zeros(0))
    paths[5] = audio("5.wav", np.full(900, np.nan), subtype="FLOAT")
    cut(paths[6], 0.7)
    return paths, made(paths, list(range(8)), **options)


def test_bad_files_raise_by_name(audio):
    with pytest.raises(
        ValueError, match=r"^AudioDataset: expected a readable audio file, got .* or pass on_error=\"skip\""
    ):
        bad_set(audio)
    nan = audio("n.wav", np.full(10, np.nan), subtype="FLOAT")
    clips = made([audio("a.wav", 10), nan])
    assert len(clips[0].wave) == 10
    with pytest.raises(ValueError, match=r"^AudioDataset: expected finite samples, got nan at frame 0 in '.*n.wav'"):
        clips[1]
    with pytest.raises(FileNotFoundError, match=r"AudioDataset: expected an existing file, got .*gone.wav"):
        made([nan, "gone.wav"])


REASONS = {
    0: "not readable as audio",
    2: "holds no frames",
    5: "holds NaN or infinite samples",
    6: "cut short or damaged",
}


def test_bad_files_are_left_out_and_listed(audio):
    paths, clips = bad_set(audio, on_error="skip")
    assert clips.targets.tolist() == [1, 3, 4, 5, 6, 7]
    assert [failure.index for failure in clips.failures] == [0, 2]
    items = clips.__getitems__([ofs.Draw(place, epoch=1) for place in range(6)])
    assert [target for _, target in items] == [1, 3, 4, 7]
    assert [clip.id for clip, _ in items] == [rng.item_id(base, 1) for base in (1, 3, 4, 7)]
    assert {failure.index: failure.reason for failure in clips.failures} == REASONS
    assert [failure.path for failure in clips.failures] == [paths[index] for index in REASONS]
    assert [failure.index for failure in clips.subset([3, 0]).failures] == [5]


def test_the_next_readable_clip_stands_in(audio):
    _, clips = bad_set(audio, on_error="skip")
    assert clips[3][1] == 7
    assert [target for _, target in clips.__getitems__([3, 4])] == [7]
    assert clips[-2][1] == 7
    turned = clips.subset([5, 0, 3])
    assert turned[2][1] == 7
    lone = clips.subset([3, 4])
    with pytest.raises(RuntimeError, match=r"AudioDataset: expected a readable clip, got 2 bad ones"):
        lone[0]


def test_more_bad_files_than_allowed(audio):
    with pytest.raises(
        RuntimeError, match=r"at most max_failures = 1 bad files, got 2 \(.*0.flac: not readable as audio; "
    ):
        bad_set(audio, on_error="skip", max_failures=1)
    _, clips = bad_set(audio, on_error="skip", max_failures=3)
    assert clips[4][1] == 7
    for _ in range(2):
        with pytest.raises(RuntimeError, match="at most max_failures = 3 bad files, got 4"):
            clips[3]
    with pytest.raises(ValueError, match=r"at least one good file, got none of 1 \(.*cut short"):
        made([cut(audio("c.wav", 100), 0.5)], on_error="skip")


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_workers_tell_what_they_saw(audio, start):
    _, clips = bad_set(audio, on_error="skip")
    seen = []
    loader = DataLoader(clips, batch_size=2, num_workers=2, multiprocessing_context=start, collate_fn=ofs.collate)
    for _, targets in loader:
        seen += targets.tolist()
    assert sorted(set(seen)) == [1, 3, 4, 7]
    assert {failure.index: failure.reason for failure in clips.failures} == REASONS


# packing


def test_pickle_and_deepcopy(audio):
    _, clips = bad_set(audio, on_error="skip")
    for twin in (pickle.loads(pickle.dumps(clips)), copy.deepcopy(clips)):
        assert twin.lengths.tolist() == clips.lengths.tolist()
        assert torch.equal(twin[0][0].wave, clips[0][0].wave)
        assert twin.failures == clips.failures
        assert twin.source.table.faults.is_shared()
        twin[4]
        assert len(twin.failures) == len(clips.failures) + 1


def test_many_clips_pack_small(audio):
    path = audio("long/folder/name/of/a/speaker/clip_0000000.wav", 10)
    clips = made([path] * 20_000, [0] * 20_000)
    assert len(pickle.dumps(clips)) < 72 * 20_000
    paths = [f"{path[:-12]}_{place:07d}.wav" for place in range(20_000)]
    packed = PackedStrings(paths)
    assert len(pickle.dumps(packed)) < 22 * 20_000
    assert packed == paths
    assert packed[-1] == paths[-1]
    assert list(packed[3:9:2]) == paths[3:9:2]


@given(strings=st.lists(st.text(st.characters(exclude_categories=()), max_size=9), max_size=9))
def test_packed_strings_are_the_strings(strings):
    packed = PackedStrings(strings)
    assert list(packed) == strings
    order = np.arange(len(strings))[::-1]
    assert list(pickle.loads(pickle.dumps(packed)).take(order)) == strings[::-1]
    assert list(packed.take(order).take(order)) == strings


def test_a_long_scan_shows_a_bar_on_stderr_alone(audio, monkeypatch, capfd):
    paths = [audio("a.wav", 10)] * 40
    original = scanning.audio.probe

    def slow(path):
        time.sleep(0.02)
        return original(path)

    made(paths)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(scanning, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(scanning.audio, "probe", slow)
    made(paths, progress=False)
    assert capfd.readouterr() == ("", "")
    made(paths)
    out, err = capfd.readouterr()
    assert out == ""
    assert "headers" in err


def test_interrupt_ends_a_scan_promptly(audio, tmp_path):
    path = audio("a.wav", 10)
    code = f"""
import signal, time
from ontheflyspec.data import scan
import ontheflyspec as ofs
signal.signal(signal.SIGINT, signal.default_int_handler)
original = scan.audio.probe
def slow(path):
    time.sleep(0.05)
    return original(path)
scan.audio.probe = slow
print("ready", flush=True)
ofs.AudioDataset([{path!r}] * 100_000, sample_rate=16_000, progress=False)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.5)
            began = time.monotonic()
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=60)
            assert "KeyboardInterrupt" in err
            assert time.monotonic() - began < 20
        finally:
            child.kill()
    assert child.returncode not in (0, -signal.SIGKILL)


def test_scans_leave_no_threads(audio):
    made([audio("a.wav", 10)] * 100)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ontheflyspec-scan")]
