"""Work shared out among threads by items: same bits, and nothing else in the process changes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch

import ontheflyspec as ofs
from case import Case, build
from laws import Example
from ontheflyspec.kernels import threads
from registry import CASES


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def on_threads(count, call):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return call()
    finally:
        torch.set_num_threads(before)


def test_results_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    batch = ofs.pad([torch.randn(n) for n in (30_000, 9_000, 1)], rate=16_000, ids=[1, 2, 3])
    chain = ofs.Compose(
        [
            ofs.augment.AddColoredNoise(),
            ofs.Resample(sample_rate=16_000, new_sample_rate=11_025),
            ofs.MelSpectrogram(sample_rate=11_025, n_fft=4096, hop_length=160, n_mels=8),
            ofs.AmplitudeToDB(),
            ofs.Normalize(),
        ]
    )
    one, two, three = (on_threads(count, lambda: chain(batch).data) for count in (1, 2, 3))
    assert torch.equal(one, two)
    assert torch.equal(one, three)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_case_depends_on_the_number_of_threads(case: Case) -> None:
    """Long enough for several blocks, and for several threads."""
    batch = Example((70_000, 700, 0, 20_000) if case.rank == 1 else (2_000, 700, 0, 1)).batch(case)
    one, other = (on_threads(count, lambda: build(case)(batch).data) for count in (1, 3))
    if case.exact:
        assert torch.equal(one, other)
    else:
        assert (one - other).abs().max() <= 1e-4 * one.abs().max()


def test_every_task_runs_once_and_on_several_threads(two_threads):
    met = threading.Barrier(2, timeout=20)
    done = []

    def task(number):
        if number < 2:
            met.wait()
        done.append((number, torch.get_num_threads(), torch.is_grad_enabled()))

    threads.each(task, 50, 2 * threads.SHARE)
    assert sorted(done) == [(number, 1, False) for number in range(50)]


def test_thread_counts_of_others_stay(two_threads):
    threads.each(lambda number: None, 3, 9)
    seen = []
    stranger = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    stranger.start()
    stranger.join()
    assert [torch.get_num_threads(), *seen] == [2, 2]


def test_thread_counts_stay_where_there_are_more_than_are_used():
    def call():
        threads.each(lambda number: None, 3, 9)
        return torch.get_num_threads()

    assert on_threads(threads.MOST + 3, call) == threads.MOST + 3


def test_errors_come_through_and_leave_threads_that_work(two_threads):
    def task(number):
        if number == 3:
            raise ValueError("third")

    with pytest.raises(ValueError, match="third"):
        threads.each(task, 8, 2 * threads.SHARE)
    done = []
    threads.each(done.append, 8, 9)
    assert sorted(done) == list(range(8))


def test_tasks_of_tasks_stay_where_they_are(two_threads):
    seen = []

    def outer(number):
        here = threading.get_ident()
        threads.each(lambda inner: seen.append(threading.get_ident() == here), 4, 2 * threads.SHARE)

    threads.each(outer, 4, 2 * threads.SHARE)
    assert seen == [True] * 16


def test_inference_mode_and_no_grad(two_threads):
    mel = ofs.MelSpectrogram(sample_rate=16_000, n_fft=256, n_mels=20)
    wave = torch.randn(3, 4_000)
    expected = mel(wave)
    with torch.inference_mode():
        out = mel(wave)
    assert out.is_inference()
    assert torch.equal(out, expected)
    with torch.no_grad():
        assert torch.equal(mel(wave.clone().requires_grad_()), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_have_their_own_threads():
    code = """
import os, torch, ontheflyspec as ofs
from ontheflyspec.kernels import threads
torch.set_num_threads(2)
threads.SHARE = 1
mel = ofs.MelSpectrogram(sample_rate=16_000, n_fft=256, n_mels=20)
wave = torch.ones(3, 90_000)
first = mel(wave)
child = os.fork()
if child == 0:
    os._exit(0 if (mel(wave).numpy() == first.numpy()).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert out.stdout.strip() == "0", out.stderr
