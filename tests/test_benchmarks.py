"""The benchmark for a GPU runs on a CPU as well, and tells what is wrong beside how long it takes."""

from __future__ import annotations

import re

import pytest

from benchmarks import gpu


def test_the_gpu_benchmark_runs_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--device", "cpu", "--items", "2", "--seconds", "0.3", "--rounds", "2", "--only", "spectra,loading"])
    said = capsys.readouterr().out
    rows = [[cell.strip() for cell in row.split("|")] for row in said.splitlines() if row.startswith("| ")]
    timed = {row[1]: row[2:] for row in rows}
    for name in ("log-mel 400/160/80", "STFT 1024/256", "CQT 84", "Resample to 16 kHz", "log-mel 400/160/80 of int16"):
        assert float(timed[name][0]) > 0
        assert float(timed[name][3]) < 1e-5
    assert re.search(r"DeviceLoader, pinned \| [\d.]+ \| \d+ % \|", said)
