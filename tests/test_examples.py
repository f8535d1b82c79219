"""The shipped digits are whole, and the training example does and says what it should."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
DIGITS = EXAMPLES / "spoken_digits"
SCRIPT = EXAMPLES / "train_spoken_digits.py"
WORDS = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a file of the examples folder, as Python does for a script there."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> ModuleType:
        return __import__(name)

    threads = torch.get_num_threads()
    yield load
    torch.set_num_threads(threads)
    for name in ("train_spoken_digits", "make_spoken_digits", "meters"):
        sys.modules.pop(name, None)


def run(folder: Path, *options: str, script: Path = SCRIPT) -> str:
    """Runs an example in an empty folder and returns its report."""
    command = [sys.executable, str(script), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "100%" in done.stderr, "a progress bar"
    return done.stdout


def percent(report: str, words: str) -> float:
    (found,) = re.findall(rf"{words} ([0-9.]+) ?%", report)
    return float(found)


# The data ----------------------------------------------------------------------------------------------------------


def test_digits_are_whole() -> None:
    folders = {
        folder.name: sorted(file.name for file in folder.iterdir()) for folder in DIGITS.iterdir() if folder.is_dir()
    }
    assert set(folders) == WORDS
    (voices,) = set(map(tuple, folders.values()))
    assert len(voices) == 48
    for file in DIGITS.rglob("*.flac"):
        info = soundfile.info(file)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert 0.3 <= info.duration <= 1.2
        wave, _ = soundfile.read(file)
        assert 0.02 < np.sqrt(np.square(wave).mean()) < 0.3
    assert sum(file.stat().st_size for file in DIGITS.rglob("*") if file.is_file()) < 3e6


def test_speakers_are_in_training_or_held_out() -> None:
    voices = {file.stem for file in DIGITS.rglob("*.flac")}
    held_out = set((DIGITS / "held_out.txt").read_text().splitlines())
    assert held_out < voices
    assert len(held_out) == 12
    speakers = [{voice.split("-")[0] for voice in part} for part in (held_out, voices - held_out)]
    assert not speakers[0] & speakers[1]
    assert list(map(len, speakers)) == [6, 18]


def test_maker_and_data_agree(example: Any) -> None:
    maker = example("make_spoken_digits")
    assert set(maker.DIGITS) == WORDS
    assert set(maker.voices()) == {file.stem for file in (DIGITS / "one").iterdir()}
    assert len({tuple(options) for options in maker.voices().values()}) == 48
    held_out = [voice for voice in maker.voices() if voice.split("-")[0] in {name.lower() for name in maker.HELD_OUT}]
    assert held_out == (DIGITS / "held_out.txt").read_text().splitlines()


def test_maker_cuts_silence_and_keeps_few_bits(example: Any) -> None:
    word = np.sin(np.arange(8_000.0))
    tidy = example("make_spoken_digits").tidy(np.concatenate([np.zeros(9_000), 0.1 * word, np.zeros(7_000)]))
    assert tidy.dtype == np.int16
    assert (tidy % 32 == 0).all()
    assert np.abs(tidy).max() == 2**14
    loud = np.flatnonzero(tidy)
    assert abs(loud[0] - 640) < 160
    assert abs(len(tidy) - 640 - loud[-1]) < 160
    kept = tidy[loud[0] :][:7_999] / 2**14
    np.testing.assert_allclose(kept, word[1:], atol=0.01)


# The main job ------------------------------------------------------------------------------------------------------


def test_digits_of_unheard_voices_are_learnt(tmp_path: Path) -> None:
    report = run(tmp_path, "--epochs", "6")
    assert (
        "360 clips to train on, 190 s at 16000 Hz in 10 classes\n120 clips to be judged by, of 12 voices held out"
        in report
    )
    assert re.search(r"^trained 6 epochs in [0-9.]+ s: [1-9][0-9]* clips/s, [1-9][0-9]* audio seconds/s$", report, re.M)
    assert re.search(r"^waited for data [0-9]+ % of the time \(front end [0-9]+ %, files [0-9]+ %\)$", report, re.M)
    counted = Path("/proc/self/io").exists()
    assert f"bytes written to disk: {0 if counted else 'n/a'}\n" in report
    last = report.splitlines()[-1]
    assert last.endswith("% on 120 clips of 12 voices held out")
    assert percent(last, "^accuracy") == percent(last, "balanced accuracy") >= 95
    assert list(tmp_path.iterdir()) == []


def write_clips(folder: Path, name: str, count: int, rate: int) -> None:
    draws = np.random.default_rng(len(name))
    (folder / name).mkdir(parents=True, exist_ok=True)
    for take in range(count):
        wave = draws.standard_normal(rate // 2 + 100 * take)
        soundfile.write(
            folder / name / f"{rate}-{take}.wav", 0.1 * (np.cumsum(wave) / 20 if name == "low" else wave), rate
        )


def test_any_folder_is_learnt_and_drawn(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The most frequent rate is taken, a bad file is left out, the picture is a PNG."""
    for name in ("low", "high"):
        write_clips(tmp_path / "data", name, 10, 8_000)
        write_clips(tmp_path / "data", name, 2, 11_025)
    (tmp_path / "data" / "low" / "bad.wav").write_text("no sound")
    plot = tmp_path / "inputs.png"
    options = ["--data", "data", "--epochs", "2", "--max-seconds", "0.3", "--save-plot", str(plot)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *options])
    example("train_spoken_digits").main()
    report = capsys.readouterr().out
    assert re.match(rf"left out \S*{re.escape(str(Path('data/low/bad.wav')))}: ", report)
    assert "at 8000 Hz in 2 classes\n4 clips to be judged by, of a random fifth" in report
    assert report.endswith("on 4 clips of a random fifth of each class (speakers are not held out)\n")
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_interrupt_ends_with_a_word(tmp_path: Path) -> None:
    # Where this suite itself runs in the background, its children would be born deaf to SIGINT.
    code = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.path.insert(0, {str(SCRIPT.parent)!r}); sys.argv = ['train', '--epochs', '999']; "
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    shown = ""
    while "epoch=1/" not in shown:
        shown += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    try:
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "stopped"
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "expected audio files"),
        (["a/1", "a/2"], "expected at least 2 classes, one sub-folder each, in .*, got only 'a'"),
        (["a/1", "b/1"], "AudioDataset.split: expected .* two clips"),
        (["1", "2"], "expected at least 2 classes, one sub-folder each, in .*, got none"),
    ],
)
def test_bad_folders_are_told_in_a_line(
    files: list[str], says: str, example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(800), 8_000)
    monkeypatch.setattr(sys, "argv", ["train", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        example("train_spoken_digits").main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(rf"train_spoken_digits.py: .*{says}", line)


@pytest.mark.parametrize("option", [["--epochs", "0"], ["--device", "nowhere"], ["--save-plot", "no/such/folder.png"]])
def test_bad_options_are_told(
    option: list[str], example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *option])
    with pytest.raises(SystemExit) as ended:
        example("train_spoken_digits").main()
    assert ended.value.code == 2
    assert option[0] in capsys.readouterr().err.splitlines()[-1]


def test_network_does_not_see_padding(example: Any) -> None:
    torch.manual_seed(0)
    network = example("train_spoken_digits").Network(3).eval()
    x, lengths = torch.randn(5, 64, 41), torch.tensor([41, 20, 7, 2, 1])
    mask = torch.arange(41) < lengths[:, None]
    said = network(x * mask[:, None], mask)
    for item, length in enumerate(lengths.tolist()):
        alone = network(x[item : item + 1, :, :length], mask[item : item + 1, :length])
        torch.testing.assert_close(said[item : item + 1], alone)


# The meters --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count written bytes")
def test_disk_meter_counts_files_and_workers_but_not_the_console(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "console", "w", encoding="utf-8") as console:
        monkeypatch.setattr(sys, "stderr", console)
        meter = example("meters").DiskMeter()
        assert meter.written() is None
        meter.begin()
        print("a bar █", file=meter.console, flush=True)
        assert meter.written() == 0
        (tmp_path / "cache").write_bytes(bytes(1234))
        assert meter.written() == 1234
        code = "import sys; f = open('worker', 'wb', 0); f.write(bytes(4321)); print(flush=True); sys.stdin.read()"
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-ISc", code], cwd=tmp_path, stdin=pipe, stdout=pipe) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            assert meter.written() == 1234 + 4321 + 1
            worker.communicate()


def test_clock_tells_waiting_from_working(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meters = example("meters")
    now = [0.0]
    monkeypatch.setattr(meters, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class FrontEnd(torch.nn.Module):
        def forward(self, x: int) -> int:
            now[0] += 2.0
            return x

    front_end = FrontEnd()
    clock = meters.Clock(front_end)

    def loader() -> Any:
        for batch in range(3):
            now[0] += 1.0
            yield front_end(batch)

    for _ in clock.batches(loader()):
        now[0] += 4.0
    assert (clock.waited_s, clock.front_end_s, clock.total_s) == (9.0, 6.0, 21.0)


def test_noise_example_prints_and_draws(tmp_path: Path) -> None:
    """Two networks of two epochs: the one trained in noise hears more in noise."""
    report = run(tmp_path, "--epochs", "2", "--save-plot", "noise.png", script=EXAMPLES / "train_in_noise.py")
    rows = {
        name: re.findall(r"([0-9.]+)%", line)
        for line in report.splitlines()
        for name in ("without ", "with ")
        if line.lstrip().startswith(name)
    }
    plain, augmented = ([float(value) for value in rows[name]] for name in ("without ", "with "))
    assert len(plain) == len(augmented) == 4
    assert sum(augmented[1:]) > sum(plain[1:])
    assert (tmp_path / "noise.png").stat().st_size > 5_000
