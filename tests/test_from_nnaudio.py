"""The guide for those who come from other packages: its code runs, here and there, and differs by what it says."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from benchmarks.peers import peer

PAGE = Path(__file__).parents[1] / "docs" / "from_nnaudio.md"
TEXT = PAGE.read_text()
PACKAGES = {
    "features": {"nnAudio": "nnAudio.features", "nnAudio2": "nnAudio2.features"},
    "librosa": {"librosa": "librosa"},
    "transforms": {"torchaudio": "torchaudio.transforms"},
}


class Row(NamedTuple):
    """A row of a table: their code, ours or nothing, and by how much they differ, by package."""

    theirs: str
    ours: str
    differences: dict[str, str]

    @property
    def module(self) -> str:
        """The name that their code is called by."""
        return next(name for name in PACKAGES if re.search(rf"\b{name}\.", self.theirs))


def code(cell: str) -> str:
    found = re.fullmatch(r"`([^`]+)`", cell)
    return found[1] if found else ""


def rows() -> list[Row]:
    """Reads every row that begins with code."""
    found = []
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not (line.startswith("|") and code(cells[0])):
            continue
        assert len(cells) == 4, f"a row has four cells: {line}"
        parts = [re.fullmatch(r"(.+?)(?: in (\w+))?", part.strip()) for part in cells[2].split(";")]
        found.append(Row(code(cells[0]), code(cells[1]), {part[2] or "": part[1] for part in parts if part}))
        assert found[-1].ours or cells[1].startswith("not here"), f"a row has our code, or none: {line}"
    return found


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def quietly(source: str, names: dict[str, Any]) -> tuple[Any, str]:
    """Runs a block, or an expression for its value, without others' warnings; returns the value and what it prints."""
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if "\n" in source:
            return exec(compile(source, PAGE.name, "exec"), names), said.getvalue()
        return eval(compile(source, PAGE.name, "eval"), names), said.getvalue()


def array(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)


def difference(theirs: Any, ours: Any) -> float:
    """Returns the largest difference as a share of our peak, across layouts of complex numbers and single items."""
    theirs, ours = array(theirs), array(ours)
    if np.iscomplexobj(ours) and not np.iscomplexobj(theirs):
        theirs = theirs[..., 0] + 1j * theirs[..., 1]
    theirs = theirs.reshape(theirs.shape[max(0, theirs.ndim - ours.ndim) :])
    assert theirs.shape == ours.shape
    return float(np.abs(theirs - ours).max() / np.abs(ours).max())


ROWS = rows()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small work: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def names() -> dict[str, Any]:
    """What the page's first block about the tables defines."""
    found: dict[str, Any] = {}
    exec(next(block for block in blocks("python") if "frames = " in block), found)
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.theirs)
def test_our_code_runs(row: Row, names: dict[str, Any]) -> None:
    if row.ours:
        value = eval(row.ours, names)
        assert np.isfinite(array(value)).all()


PAIRS = [(row, package) for row in ROWS for package in PACKAGES[row.module]]


@pytest.mark.parametrize(("row", "package"), PAIRS, ids=[f"{package}-{row.theirs}" for row, package in PAIRS])
def test_their_code_differs_by_what_is_said(row: Row, package: str, names: dict[str, Any]) -> None:
    names[row.module] = peer(PACKAGES[row.module][package])
    if names[row.module] is None:
        pytest.skip(f"{package} is not installed")
    said = row.differences.get(package) or row.differences.get("")
    if said is None:
        assert not hasattr(names[row.module], re.search(r"features\.(\w+)", row.theirs)[1])
        return
    if said.startswith("raises"):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            quietly(row.theirs, names)
        assert f"`{type(caught.value).__name__}`" in said
        return
    theirs = quietly(row.theirs, names)[0]
    if said == "-":
        return
    found = difference(theirs, eval(row.ours, names))
    if float(said) < 1e-3:  # rounding, a little more or less on other machines
        assert found <= max(5 * float(said), 2e-6)
    else:
        assert found == pytest.approx(float(said), rel=0.25)


@pytest.mark.parametrize("package", ["nnAudio", "nnAudio2"])
def test_faults_are_seen(package: str) -> None:
    """The blocks print what their comments say: ``, in nnAudio2: `` parts what the two print."""
    features = peer(f"{package}.features")
    if features is None:
        pytest.skip(f"{package} is not installed")
    names: dict[str, Any] = {}
    for block in blocks("python"):
        if "def gap(" in block:
            quietly(block, names)
    for block in blocks("python nnAudio"):
        source = block.replace("from nnAudio ", f"from {package} ")
        expected = [
            line.split(", in nnAudio2: ")[-1 if package == "nnAudio2" else 0]
            for line in re.findall(r"^\s*print\(.*\)  # (.+)$", block, re.MULTILINE)
        ]
        assert quietly(source, names)[1].splitlines() == expected, block


def test_every_block_is_one_that_is_run() -> None:
    kinds = re.findall(r"^```(.+)$", TEXT, re.MULTILINE)
    assert set(kinds) <= {"python", "python nnAudio"}


def test_names_exist() -> None:
    for name in re.findall(r"\bofs\.(\w+)(?!\w*\.)", TEXT):
        assert name in ofs.__all__, f"ontheflyspec has no {name}"
    for name in re.findall(r"\bofs\.augment\.(\w+)", TEXT):
        assert name in ofs.augment.__all__, f"ontheflyspec.augment has no {name}"


@pytest.mark.parametrize("package", ["nnAudio", "nnAudio2"])
def test_every_class_of_theirs_has_a_row(package: str) -> None:
    features = peer(f"{package}.features")
    if features is None:
        pytest.skip(f"{package} is not installed")
    classes = {name for name, value in vars(features).items() if inspect.isclass(value)} - {"STFTBase"}
    assert classes <= {name for row in ROWS for name in re.findall(r"features\.(\w+)", row.theirs)}
    named = set(re.findall(r"`(\w+)`", TEXT)) | {key for row in ROWS for key in re.findall(r"(\w+)=", row.theirs)}
    for name in classes:
        missing = set(inspect.signature(getattr(features, name)).parameters) - named - {"verbose", "kwargs"}
        assert not missing, f"the page does not tell what becomes of {name}'s {missing}"
