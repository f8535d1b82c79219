"""Bad files that are raised, skipped and listed, in any process; how tables pack; scans."""

from __future__ import annotations

import copy
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import ontheflyspec as ofs
from ontheflyspec.data import scan as scanning
from ontheflyspec.data.table import PackedStrings
from ontheflyspec.identity import Identity
from tests.data.files import cut, made


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
    assert [clip.id for clip, _ in items] == [Identity(base, 1).id() for base in (1, 3, 4, 7)]
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


def test_a_batch_of_which_nothing_is_left_holds_the_first_good_clip_of_the_plan(audio):
    """With the next occurrence, so that no id comes twice; by our loader and by workers alike."""
    paths = [audio(f"{place}.wav", 1000 + place) for place in range(12)]
    plan = [list(map(int, batch)) for batch in ofs.BucketBatchSampler([1000] * 12, max_samples=2000)]
    order = [place for batch in plan for place in batch]
    bad = [order[0], *plan[3], *plan[5]]
    for place in bad:
        paths[place] = audio(f"nan{place}.wav", np.full(1000 + place, np.nan), subtype="FLOAT")

    def seen(attach):
        clips = made(paths, on_error="skip")
        loader = attach(clips, ofs.BucketBatchSampler([1000] * 12, max_samples=2000))
        return [clips.locate(batch.ids) for batch in loader], clips

    (ours, one), (theirs, other) = (
        seen(ofs.AudioLoader),
        seen(lambda clips, sampler: DataLoader(clips, batch_sampler=sampler, collate_fn=ofs.collate, num_workers=2)),
    )
    assert ours == theirs
    expected = [[place for place in batch if place not in bad] or [order[1]] for batch in plan]
    assert [[place.root_index for place in batch] for batch in ours] == expected
    drawn = [(place.root_index, place.occurrence) for batch in ours for place in batch]
    assert len(set(drawn)) == len(drawn)
    for clips in (one, other):
        assert {failure.index for failure in clips.failures if "NaN" in failure.reason} == set(bad)
        assert [failure.index for failure in clips.failures if "filled 2" in failure.reason] == [order[1]]


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


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_tell_what_they_saw(audio, start):
    _, clips = bad_set(audio, on_error="skip")
    seen = []
    loader = DataLoader(clips, batch_size=2, num_workers=2, multiprocessing_context=start, collate_fn=ofs.collate)
    for _, targets in loader:
        seen += targets.tolist()
    assert sorted(set(seen)) == [1, 3, 4, 7]
    assert {failure.index: failure.reason for failure in clips.failures} == REASONS


def test_pickle_and_deepcopy(audio):
    _, clips = bad_set(audio, on_error="skip")
    for twin in (pickle.loads(pickle.dumps(clips)), copy.deepcopy(clips)):
        assert twin.lengths.tolist() == clips.lengths.tolist()
        assert torch.equal(twin[0][0].wave, clips[0][0].wave)
        assert twin.failures == clips.failures
        assert twin.source.table.faults.is_shared()
        twin[4]
        assert [failure.index for failure in twin.failures] == [0, 2, 6, 7]  # the last one filled in for clip 4


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


HEADERS = {"0 Hz": (24, "<I", 0), "3 GHz": (24, "<I", 3_000_000_000), "20000 channels": (22, "<H", 20_000)}


@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_no_decoder_takes_are_bad_at_the_scan(audio, kind, name):
    place, form, number = HEADERS[name]
    value = struct.pack(form, number)
    path = audio("a.wav", 100, subtype=kind)
    data = bytearray(Path(path).read_bytes())
    data[place : place + len(value)] = value
    Path(path).write_bytes(data)
    with pytest.raises(ValueError, match=r"a readable audio file, got .* in '.*a\.wav'"):
        ofs.AudioDataset([path], sample_rate=16_000)
    clips = ofs.AudioDataset([path, audio("b.wav", 50)], sample_rate=16_000, on_error="skip")
    assert ([failure.path for failure in clips.failures], clips.lengths.tolist()) == ([path], [50])
