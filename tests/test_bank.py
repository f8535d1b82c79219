"""Banks of recorded waves: what is read, how it is kept, where it goes."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

import ontheflyspec as ofs
from ontheflyspec import WaveformBank

RATE = 8_000


@pytest.fixture(scope="session")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of folders with files of many kinds, and what is no audio."""
    root = tmp_path_factory.mktemp("noises")
    draws = np.random.default_rng(0)
    (root / "deep" / "deeper").mkdir(parents=True)
    soundfile.write(root / "a.wav", 0.1 * draws.standard_normal(900), RATE, subtype="PCM_16")
    soundfile.write(root / "deep" / "b.flac", 0.1 * draws.standard_normal((700, 2)), RATE, subtype="PCM_16")
    soundfile.write(root / "deep" / "deeper" / "c.wav", 0.1 * draws.standard_normal(1_600), 2 * RATE, subtype="FLOAT")
    (root / "README.txt").write_text("no audio")
    return root


def test_folder_against_soundfile(noises: Path) -> None:
    """At any depth, sorted; mixed down and resampled as `load` does."""
    bank = WaveformBank.from_folder(noises, sample_rate=RATE)
    assert (len(bank), bank.rate, bank.channels, bank.samples.dtype) == (3, 8_000.0, 1, torch.float32)
    first = soundfile.read(noises / "a.wav", dtype="float32")[0]
    second = soundfile.read(noises / "deep" / "b.flac", dtype="float32")[0].mean(1)
    third = soxr.resample(soundfile.read(noises / "deep" / "deeper" / "c.wav", dtype="float32")[0], 2 * RATE, RATE)
    assert [wave.shape[0] for wave in bank] == [900, 700, 800]
    np.testing.assert_array_equal(bank[0], first)
    np.testing.assert_allclose(bank[1], second, atol=1e-7)
    np.testing.assert_allclose(bank[2][:750], third[:750], atol=1e-6)
    assert torch.equal(bank[-1], ofs.load(noises / "deep" / "deeper" / "c.wav", sample_rate=RATE).wave)


def test_integers_stay_integers(noises: Path) -> None:
    """Half the memory, where all files have them."""
    bank = WaveformBank.from_paths([noises / "a.wav", noises / "a.wav"], sample_rate=RATE, max_seconds=0.05)
    assert bank.samples.dtype == torch.int16
    assert bank.samples.shape == (800,)
    expected = soundfile.read(noises / "a.wav", dtype="int16")[0][:400]
    np.testing.assert_array_equal(bank[1], expected)
    waves = [torch.tensor([1, -2], dtype=torch.int16), torch.tensor([16_384], dtype=torch.int16)]
    assert WaveformBank(waves, rate=RATE).samples.tolist() == [1, -2, 16_384]
    mixed = WaveformBank([waves[1], torch.ones(2, dtype=torch.float64)], rate=RATE)
    assert mixed.samples.tolist() == [0.5, 1.0, 1.0]


def test_channels_lie_one_after_the_other(noises: Path) -> None:
    path = noises / "deep" / "b.flac"
    bank = WaveformBank.from_paths([path, path], sample_rate=RATE, mono=False)
    assert (bank.channels, bank.longest, bank.begins.tolist()) == (2, 700, [0, 1_400])
    np.testing.assert_array_equal(bank[1], soundfile.read(path, dtype="int16")[0].T)
    waves = [np.arange(1.0, 7.0).reshape(2, 3), np.ones((2, 1))]
    assert torch.equal(WaveformBank(waves, rate=RATE)[0], torch.arange(1.0, 7.0).reshape(2, 3))


def test_moves_with_its_module_and_stays_out_of_checkpoints() -> None:
    bank = WaveformBank([torch.ones(5), torch.ones(3)], rate=RATE)
    step = ofs.Compose([ofs.augment.AddBackgroundNoise(bank)])
    assert step.state_dict() == {}
    assert list(step.parameters()) == []
    assert list(step.buffers()) == []  # DistributedDataParallel sends these at every step
    step.load_state_dict({})
    moved = copy.deepcopy(step).to("meta")
    assert moved.steps[0].bank.samples.device.type == "meta"
    assert moved.steps[0].bank.begins.device.type == "cpu"  # for plans, which nobody waits for
    assert bank.samples.device.type == "cpu"
    assert copy.deepcopy(step).half().steps[0].bank.samples.dtype == torch.float32


def test_copies_share_the_waves() -> None:
    bank = WaveformBank([torch.ones(5), torch.ones(3)], rate=RATE)
    twin = copy.deepcopy(ofs.augment.AddBackgroundNoise(bank)).bank
    assert twin is not bank
    assert twin.samples.data_ptr() == bank.samples.data_ptr()
    back = pickle.loads(pickle.dumps(bank))
    assert torch.equal(back.samples, bank.samples)
    assert (back.rate, back.channels, back.longest, len(back)) == (8_000.0, 1, 5, 2)
    assert bank.share_memory().samples.is_shared()


def _sum(bank: WaveformBank, queue: object) -> None:
    queue.put((bank.samples.is_shared(), float(bank.samples.sum())))


def test_goes_to_a_process_as_shared_memory() -> None:
    bank = WaveformBank([torch.ones(5), torch.ones(3)], rate=RATE)
    context = torch.multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_sum, args=(bank, queue))
    process.start()
    assert queue.get() == (True, 8.0)
    process.join()
    assert bank.samples.is_shared()


def test_bad_files_raise_or_are_left_out(tmp_path: Path) -> None:
    """Silent, empty, truncated, no audio at all."""
    good = 0.1 * np.random.default_rng(1).standard_normal(400)
    soundfile.write(tmp_path / "good.wav", good, RATE)
    soundfile.write(tmp_path / "dumb.wav", np.zeros(400), RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    (tmp_path / "text.flac").write_text("no audio")
    soundfile.write(tmp_path / "short.wav", good, RATE)
    whole = (tmp_path / "short.wav").read_bytes()
    (tmp_path / "short.wav").write_bytes(whole[: len(whole) // 2])
    said = {
        "dumb": "expected a wave that is heard, got 400 samples of 0",
        "empty": "expected at least one frame, got 0 frames",
        "text": "expected a readable audio file",
        "short": "expected every frame that the header promises",
    }
    for name, text in said.items():
        path = next(tmp_path.glob(f"{name}.*"))
        with pytest.raises(ValueError, match=rf"WaveformBank\.from_paths: {text}.*{name}.*on_error=\"skip\""):
            WaveformBank.from_paths([tmp_path / "good.wav", path], sample_rate=RATE)
    bank = WaveformBank.from_folder(tmp_path, sample_rate=RATE, on_error="skip")
    assert len(bank) == 1
    np.testing.assert_array_equal(bank[0], soundfile.read(tmp_path / "good.wav", dtype="int16")[0])
    assert {Path(failure.path).stem: failure.reason for failure in bank.failures} == {
        "empty": "holds no frames",
        "short": "cut short or damaged",
        "dumb": "holds silence only",
        "text": "not readable as audio",
    }
    with pytest.raises(ValueError, match=r"WaveformBank\.from_paths: expected at least one good file"):
        WaveformBank.from_paths([tmp_path / "dumb.wav"], sample_rate=RATE, on_error="skip")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"WaveformBank\.from_folder: expected a folder, got .*nowhere"):
        WaveformBank.from_folder(tmp_path / "nowhere", sample_rate=RATE)
    with pytest.raises(ValueError, match=r"WaveformBank\.from_folder: expected audio files \(\.wav .*, got none in"):
        WaveformBank.from_folder(tmp_path, sample_rate=RATE)
    (tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(ValueError, match=r"WaveformBank\.from_folder: expected audio files \(\.wav .*, got none in"):
        WaveformBank.from_folder(tmp_path, sample_rate=RATE)
    with pytest.raises(ValueError, match=r"WaveformBank\.from_paths: expected at least one file, got none\."):
        WaveformBank.from_paths([], sample_rate=RATE)
    with pytest.raises(FileNotFoundError, match=r"WaveformBank\.from_paths: expected an existing file"):
        WaveformBank.from_paths([tmp_path / "a.wav"], sample_rate=RATE)
    with pytest.raises(TypeError, match=r"WaveformBank\.from_paths: expected paths as a list"):
        WaveformBank.from_paths(str(tmp_path), sample_rate=RATE)


def test_wrong_waves() -> None:
    ones = torch.ones(3)
    with pytest.raises(ValueError, match=r"WaveformBank: expected at least one wave, got none\."):
        WaveformBank([], rate=RATE)
    with pytest.raises(ValueError, match=r"WaveformBank: expected waves of at least one sample, got none in wave 1\."):
        WaveformBank([ones, ones[:0]], rate=RATE)
    with pytest.raises(ValueError, match=r"WaveformBank: expected waves that are heard, got silence in wave 0\."):
        WaveformBank([0 * ones], rate=RATE)
    with pytest.raises(ValueError, match=r"WaveformBank: expected finite samples, got NaN or infinite ones in wave 0"):
        WaveformBank([ones / 0], rate=RATE)
    with pytest.raises(ValueError, match=r"channels of the first, \[2\], got shape \[3\] for wave 1\."):
        WaveformBank([torch.ones(2, 4), ones], rate=RATE)
    with pytest.raises(TypeError, match=r"WaveformBank: expected data of type int16, .*got int64"):
        WaveformBank([ones.long()], rate=RATE)
    with pytest.raises(ValueError, match=r"WaveformBank: expected rate above 0, got 0"):
        WaveformBank([ones], rate=0)
    with pytest.raises(TypeError, match=r"WaveformBank: expected waves as tensors or arrays, got 'noises/'"):
        WaveformBank("noises/", rate=RATE)
