"""All shown code runs: examples in docstrings, and every Python block of README and docs."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import ontheflyspec as ofs
from benchmarks import peers

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TRAINERS = ("lightning", "accelerate", "transformers")
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(ofs.__path__, "ontheflyspec.")
    if not found.name.endswith("__main__") and ".programs." not in found.name
)


def blocks(page: Path, language: str) -> list[str]:
    """Returns the fenced blocks of a language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


SHOWN = [(page, place, code) for page in PAGES for place, code in enumerate(blocks(page, "python"))]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize(
    ("page", "place", "code"),
    [pytest.param(*shown, marks=pytest.mark.trainers if shown[0].stem == "trainers" else ()) for shown in SHOWN],
    ids=[f"{page.name}-{place}" for page, place, _ in SHOWN],
)
def test_pages(page: Path, place: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a block beside the examples and a small folder ``speech``; what it prints is what its comments say."""
    speech(tmp_path / "speech")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        if wanted := re.findall(rf"^import .*\b({'|'.join(TRAINERS)})\b", code, re.MULTILINE):
            pytest.importorskip(wanted[0], reason=f"{wanted[0]} is not installed: '.[trainers]' brings it")
            peers.without_extension()
            warnings.simplefilter("ignore")  # of theirs
        exec(compile(code, f"{page.name}, block {place}", "exec"), {"__name__": "shown"})
    said = re.findall(r"^\s*print\(.*\)  # (.+)$", code, re.MULTILINE)
    lines = printed.getvalue().replace("torch.Size(", "").replace("])", "]").splitlines()
    assert [line for line in lines if not line.startswith("{'train_runtime'")] == said  # a report of transformers


def speech(root: Path) -> None:
    """Writes two classes of three clips."""
    import soundfile

    draws = np.random.default_rng(0)
    for kind in ("no", "yes"):
        (root / kind).mkdir(parents=True)
        for take in range(3):
            soundfile.write(root / kind / f"{take}.wav", 0.1 * draws.standard_normal(8_000 + 4_000 * take), 16_000)


def test_readme_has_two_commands_and_twelve_lines() -> None:
    readme = ROOT / "README.md"
    setup = readme.read_text().split("## Set up")[1].split("\n## ")[0]
    commands = re.findall(r"^```bash\n(.*?)^```", setup, re.DOTALL | re.MULTILINE)
    assert [len(command.strip().splitlines()) for command in commands] == [1, 1]
    for code in blocks(readme, "python"):
        assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_ci_runs_the_test_command_of_the_readme() -> None:
    install, test = blocks(ROOT / "README.md", "bash")[1].strip().split(" && ")
    script = (ROOT / ".ci" / "run").read_text()
    assert f"\n{install.replace('pip install', 'pip install -q')} && {test}\n" in script


def test_named_files_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for script in re.findall(r"(?:python|pytest) ((?:examples|tests)/\S+?\.py)", (ROOT / "README.md").read_text()):
        assert (ROOT / script).exists(), f"the README runs {script}"
    for named in re.findall(r"`([\w/]+(?:\.py|/))`", (ROOT / "docs" / "architecture.md").read_text()):
        assert (ROOT / named).exists() or (ROOT / "ontheflyspec" / named).exists(), f"architecture.md names {named}"


def test_tests_named_in_docstrings_exist() -> None:
    for file in sorted((ROOT / "ontheflyspec").rglob("*.py")):
        for named in re.findall(r"tests/[\w/]+\.py", file.read_text()):
            assert (ROOT / named).exists(), f"{file.name} refers to {named}"


def test_pins_cover_what_is_asked_for() -> None:
    """Every package of pyproject.toml that CI installs has one exact pin for each Python."""
    project = (ROOT / "pyproject.toml").read_text()
    asked = set()
    for group in ("dependencies", "test", "dev", "trainers"):
        listed = re.search(rf"^{group} = \[(.*?)\]$", project, re.DOTALL | re.MULTILINE)
        assert listed is not None
        asked |= {re.split(r"[><=\[]", item)[0].lower() for item in re.findall(r'"([^"]+)"', listed[1])}
    pinned: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r'([a-z0-9.-]+)==([\w.]+)( ; python_version (<|>=) "3.1[13]")?', line)
            assert match, line
            pinned.setdefault(match[1], []).append(match[4] or "all")
    assert asked - {"ontheflyspec"} <= pinned.keys()
    assert all(whens in (["all"], [">=", "<"], [">="], ["<"]) for whens in pinned.values())
    assert "torch==2.13.0\n" in (ROOT / "constraints.txt").read_text()
