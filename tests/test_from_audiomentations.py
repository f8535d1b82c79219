"""The guide for those who come from other augmentations: its code runs, and every class of theirs has a row."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import ontheflyspec as ofs
from benchmarks.peers import peer

PAGE = Path(__file__).parents[1] / "docs" / "from_audiomentations.md"
TEXT = PAGE.read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def rows() -> list[list[str]]:
    """Returns the cells of every row that begins with code."""
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TEXT.splitlines()]
    return [cells for cells in found if re.fullmatch(r"`[^`]+`", cells[0])]


OURS = [
    cell.strip("`")
    for cells in rows()
    for cell in cells[: 2 if len(cells) > 2 else 1]
    if cell.startswith(("`A.", "`ofs."))
]


def said(source: str) -> list[str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(source, {})
    return out.getvalue().splitlines()


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(next(block for block in blocks("python") if "rooms = " in block), found)
    return found


@pytest.mark.parametrize("source", OURS)
def test_our_code_runs(source: str, names: dict[str, Any]) -> None:
    out = eval(source, names)
    assert torch.isfinite(out.data).all()


@pytest.mark.parametrize("block", [block for block in blocks("python") if "print(" in block])
def test_blocks_print_what_they_say(block: str) -> None:
    assert said(block) == re.findall(r"^print\(.*\)  # (.+)$", block, re.MULTILINE)


def test_their_block_prints_what_it_says() -> None:
    peer("torchaudio")
    if peer("torch_audiomentations") is None:
        pytest.skip("torch-audiomentations is not installed")
    (block,) = blocks("python torch_audiomentations")
    assert said(block) == re.findall(r"^print\(.*\)  # (.+)$", block, re.MULTILINE)


def test_every_class_of_theirs_has_a_row() -> None:
    peer("torchaudio")
    module = peer("torch_audiomentations")
    if module is None:
        pytest.skip("torch-audiomentations is not installed")
    classes = {name for name, value in vars(module).items() if inspect.isclass(value) and "xample" not in name}
    named = {match for cells in rows() for match in re.findall(r"\bta\.(\w+)", cells[0])}
    assert classes - named == set()


def test_every_augmentation_of_ours_is_named() -> None:
    named = set(re.findall(r"\bA\.(\w+)", TEXT)) | set(re.findall(r"\bofs\.(\w+)", TEXT))
    assert set(ofs.augment.__all__) - named == set()
    assert set(re.findall(r"\bofs\.(\w+)", TEXT)) <= set(ofs.__all__)


def test_every_block_is_one_that_is_run() -> None:
    assert set(re.findall(r"^```(.+)$", TEXT, re.MULTILINE)) <= {"python", "python torch_audiomentations"}
