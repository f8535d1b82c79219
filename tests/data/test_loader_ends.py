"""The threaded loader's errors, ends and states."""

from __future__ import annotations

import contextlib
import copy
import gc
import multiprocessing
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
import torch

import ontheflyspec as ofs
from ontheflyspec.data import coded
from ontheflyspec.data import source as reading
from tests.data.batches import by_torch, content, sampled, threads_alive
from tests.data.files import RATE, cut


def test_error_of_a_file_comes_at_its_batch_and_ends_nothing_else(audio):
    paths = [audio(f"{place}.wav", 100) for place in range(8)]
    paths[5] = audio("bad.wav", np.full(100, np.nan), subtype="FLOAT")
    clips = ofs.AudioDataset(paths, sample_rate=RATE)
    loader = ofs.AudioLoader(clips, [[place] for place in range(8)], threads=2)
    for _ in range(2):
        running = iter(loader)
        for _ in range(5):
            next(running)
        with pytest.raises(
            ValueError, match=r"AudioDataset: expected finite samples, got nan at frame 0 in '.*bad.wav'"
        ):
            next(running)
        assert not threads_alive()
        with pytest.raises(StopIteration):
            next(running)


def test_what_is_no_fault_of_a_file_is_raised_in_skip_mode_too(clips, monkeypatch):
    clips = ofs.AudioDataset(list(clips.paths), sample_rate=RATE, on_error="skip")

    def refuse(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(reading.audio, "read_into", refuse)
    with pytest.raises(MemoryError, match="no room"):
        list(ofs.AudioLoader(clips, [[0]]))
    assert clips.failures == []


def test_skipped_files_as_dataloader_skips_them(audio):
    paths = [audio(f"{place}.wav", 100 + place) for place in range(10)]
    paths[3] = audio("nan.wav", np.full(300, np.nan), subtype="FLOAT")
    paths[6] = cut(audio("cut.flac", 3_000), 0.5)
    batches = [[ofs.Draw(place, epoch=2) for place in batch] for batch in ([0, 3], [6, 3], [6], [9, 1, 6], [2])]

    def fresh(**options):
        return ofs.AudioDataset(paths, list(range(10)), sample_rate=RATE, on_error="skip", **options)

    ours, theirs = fresh(), fresh()
    mine = list(map(content, ofs.AudioLoader(ours, batches, threads=3)))
    assert mine == list(map(content, by_torch(theirs, batches)))
    assert [item[-2] for item in mine] == [[0], [7], [7], [9, 1], [2]]
    assert all(item[1] == torch.float32 for item in mine)
    assert ours.failures == theirs.failures
    assert [failure.index for failure in ours.failures] == [3, 6, 7]
    assert ours.failures[-1].reason.startswith("filled 2 batches")
    assert mine == list(map(content, ofs.AudioLoader(ours, batches)))
    with pytest.raises(RuntimeError, match="at most max_failures = 1 bad files, got 2"):
        list(ofs.AudioLoader(fresh(max_failures=1), batches))


def test_early_ends_leave_no_threads(clips):
    loader = ofs.AudioLoader(clips, sampled(clips), threads=3)
    for _ in loader:
        break
    assert not threads_alive()
    running = iter(loader)
    next(running)
    assert threads_alive()
    running.close()
    assert not threads_alive()
    running = iter(loader)
    next(running)
    del running
    gc.collect()
    assert not threads_alive()
    batches = len(loader)
    assert len(list(loader)) == batches
    iter(loader)
    assert not threads_alive()


def test_error_of_the_sampler_and_of_the_transform(clips):
    def broken():
        yield [0]
        raise LookupError("sampler")

    with pytest.raises(LookupError, match="sampler"):
        list(ofs.AudioLoader(clips, broken()))
    with pytest.raises(ZeroDivisionError):
        list(ofs.AudioLoader(clips, [[0]], transform=lambda _: 1 / 0))
    with pytest.raises(ValueError, match="AudioLoader: expected a clip in every batch, got none"):
        list(ofs.AudioLoader(clips, [[]]))
    with pytest.raises(IndexError, match="an index from -24 to 23, got 24"):
        list(ofs.AudioLoader(clips, [[24]]))
    gc.collect()
    assert not threads_alive()


def test_several_iterators_at_once(clips):
    train, valid = clips.split(0.5)
    one, two = ofs.AudioLoader(train, sampled(train)), ofs.AudioLoader(valid, sampled(valid))
    expected = list(map(content, one)), list(map(content, two)), list(map(content, two))
    again = ofs.AudioLoader(train, sampled(train)), ofs.AudioLoader(valid, sampled(valid))
    left, right, third = iter(again[0]), iter(again[1]), None
    mine: tuple[list, list, list] = ([], [], [])
    for _ in range(max(map(len, expected))):
        for running, found in ((left, mine[0]), (right, mine[1]), (third, mine[2])):
            if running is not None:
                found.extend(content(item) for item in [next(running, None)] if item is not None)
        if third is None:
            again[1].set_epoch(1)
            third = iter(again[1])
    mine[2].extend(map(content, third))
    assert mine == expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_forked_while_threads_decode(audio):
    paths = [audio(f"{place}.flac", 8_000) for place in range(40)]
    clips = ofs.AudioDataset(paths, sample_rate=RATE)
    running = iter(ofs.AudioLoader(clips, [[place % 40] for place in range(300)], threads=4))
    for _ in range(4):
        for _ in range(10):
            next(running)
        assert len(list(by_torch(clips, [[0], [1]], 2, multiprocessing_context="fork", timeout=60))) == 2
    assert len(list(running)) == 260


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_no_process_is_forked_while_a_file_is_being_opened(audio, monkeypatch):
    opening = threading.Event()

    def slow(_path, **_options):
        opening.set()
        time.sleep(0.4)
        return contextlib.nullcontext()

    monkeypatch.setattr(soundfile, "SoundFile", slow)

    def enter():
        coded._open("any.flac").__enter__()

    thread = threading.Thread(target=enter)
    thread.start()
    opening.wait()
    child = multiprocessing.get_context("fork").Process(target=enter)
    child.start()
    assert not thread.join(0.2)
    assert not thread.is_alive()
    child.join(10)
    assert child.exitcode == 0


def test_interrupt_ends_at_once(audio):
    path = audio("a.wav", 1_000)
    code = f"""
import os, signal, threading, time
import ontheflyspec as ofs
from ontheflyspec.data import source
original = source.audio.read_into
def slow(*args):
    time.sleep(0.3)
    original(*args)
source.audio.read_into = slow
clips = ofs.AudioDataset([{path!r}] * 400, sample_rate=16_000)
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    for batch in ofs.AudioLoader(clips, [range(400)]):
        pass
except KeyboardInterrupt:
    print("interrupted", len([t for t in threading.enumerate() if t.name.startswith("ontheflyspec-read")]))
"""
    began = time.monotonic()
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert child.stdout == "interrupted 0\n"
    assert time.monotonic() - began < 30


def test_program_may_end_in_the_middle_of_an_epoch(audio):
    path = audio("a.wav", 1_000)
    code = f"""
import ontheflyspec as ofs
clips = ofs.AudioDataset([{path!r}] * 40, sample_rate=16_000)
running = iter(ofs.AudioLoader(clips, [[place] for place in range(40)]))
kept = next(running)
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (child.stdout, child.stderr) == ("", "")


def test_state_goes_on_with_the_very_same_batches(clips):
    whole = ofs.AudioLoader(clips, sampled(clips), threads=4)
    epochs = [list(map(content, whole)) for _ in range(3)]
    for stop in (0, 1, 3, len(epochs[1]) - 1, len(epochs[1])):
        first = ofs.AudioLoader(clips, sampled(clips), threads=2)
        list(first)
        running = iter(first)
        for _ in range(stop):
            next(running)
        state = pickle.loads(pickle.dumps(first.state_dict()))
        assert state == first.state_dict()
        running.close()
        second = ofs.AudioLoader(clips, sampled(clips), threads=1)
        second.load_state_dict(state)
        assert second.state_dict() == state
        rest = list(map(content, second))
        if stop == len(epochs[1]):
            assert rest == epochs[2]
            continue
        assert rest == epochs[1][stop:]
        assert second.state_dict()["epoch"] == 2
        assert list(map(content, second)) == epochs[2]


def test_state_of_a_resumed_run_counts_from_the_start_of_the_epoch(clips):
    one = ofs.AudioLoader(clips, sampled(clips))
    expected = list(map(content, one))
    state = sampled(clips).state_at(0, 0)
    found = []
    while len(found) < len(expected):
        loader = ofs.AudioLoader(clips, sampled(clips))
        loader.load_state_dict(state)
        running = iter(loader)
        found.append(content(next(running)))
        state = loader.state_dict()
    assert found == expected


def test_state_needs_a_sampler_that_has_one(clips):
    loader = ofs.AudioLoader(clips, [[0]])
    for call in (loader.state_dict, lambda: loader.load_state_dict({})):
        with pytest.raises(TypeError, match=r"AudioLoader: expected a sampler with a state, got list. Use BucketBatch"):
            call()
    staged = ofs.DeviceLoader(loader, device="cpu")
    assert [batch.data.shape[0] for batch, _ in staged] == [1]
    with pytest.raises(TypeError, match=r"DeviceLoader: expected a loader with a state"):
        staged.state_dict()


def test_bad_arguments(clips):
    for error, match, options in (
        (TypeError, "dtype None or torch.float32, got torch.float16. Convert", {"dtype": torch.float16}),
        (ValueError, "threads to be an integer of at least 1, got 0", {"threads": 0}),
        (ValueError, "a device such as 'auto', 'cpu'", {"device": "nowhere"}),
    ):
        with pytest.raises(error, match=match):
            ofs.AudioLoader(clips, [[0]], **options)
    with pytest.raises(TypeError, match=r"AudioLoader: expected an AudioDataset, got list. Use torch's DataLoader"):
        ofs.AudioLoader([1, 2], [[0]])


def test_torch_keeps_its_thread_count(clips):
    before = torch.get_num_threads()
    list(ofs.AudioLoader(clips, sampled(clips), threads=3))
    assert torch.get_num_threads() == before


def test_deepcopy_of_a_loader(clips):
    loader = ofs.AudioLoader(clips, sampled(clips))
    twin = copy.deepcopy(loader)
    assert list(map(content, twin)) == list(map(content, loader))
