"""Imports point down only, files and functions stay short, and importing the package takes and prints nothing."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ontheflyspec"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_NEEDED = 7

# From the lowest layer up: what each may import, besides itself.
GROUND = {
    "torch_internals",
    "checks",
    "precision",
    "options",
    "batch",
    "rng",
    "windows",
    "framing",
    "identity",
    "labels",
    "recordings",
    "kept",
    "transfer",
}
MACHINERY = {"kernels", "kernels.threads", "kernels.compiled", "kernels.rows"}
BELOW: dict[str, set[str]] = {"ground": set(), "machinery": {"ground"}, "op": {"ground", "machinery"}}
BELOW["functional"] = {*BELOW["op"], "op"}
BELOW["pipeline"] = {*BELOW["functional"], "functional"}
BELOW["kernels.cpu"] = {*BELOW["pipeline"], "pipeline"}
BELOW["plans"] = BELOW["kernels.cpu"]
BELOW["transforms"] = BELOW["augment"] = BELOW["data"] = {*BELOW["pipeline"], "pipeline", "plans"}
BELOW["chain"] = {*BELOW["transforms"], "transforms.base", "transforms.edit", "augment.base", "augment.ranges"}
ALWAYS = {"torch", "numpy", "typing_extensions"}


def name_of(file: Path) -> str:
    return ".".join(("ontheflyspec", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def layer_of(module: str) -> str:
    """Returns the layer of a module, ``top`` for the package itself and what stands above the chains."""
    parts = module.split(".")[1:]
    if not parts:
        return "top"
    if parts[0] in GROUND:
        return "ground"
    if parts[0] == "kernels":
        return "machinery" if ".".join(parts[:2]) in MACHINERY else "kernels.cpu"
    return parts[0] if parts[0] in BELOW else "top"


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yields what a module imports, as full names, and whether it does so as it is imported itself."""
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _for_types(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in lazy
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) not in lazy


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def is_program(module: str) -> bool:
    """Returns whether a file holds programs for Triton, which is imported where one is launched."""
    return module.startswith("ontheflyspec.kernels.cuda.programs.")


def wrong_imports(module: str, tree: ast.Module) -> list[str]:
    """Returns the imports that point up or sideways, or that load an optional package too early."""
    layer = layer_of(module)
    wrong = []
    for name, at_once in imports(tree):
        root = name.split(".")[0]
        if root == "ontheflyspec":
            target, base = layer_of(name), ".".join(name.split(".")[1:3])
            if layer != "top" and target != layer and target not in BELOW[layer] and base not in BELOW[layer]:
                wrong.append(f"{module} ({layer}) imports {name}")
        elif at_once and root not in ALWAYS | sys.stdlib_module_names | ({"triton"} if is_program(module) else set()):
            wrong.append(f"{module} imports {root} at once")
    return wrong


@functools.cache
def tree_of(file: Path) -> ast.Module:
    """Returns a file as Python reads it, read once."""
    return ast.parse(file.read_text())


def test_imports_point_down() -> None:
    assert [wrong for file in FILES for wrong in wrong_imports(name_of(file), tree_of(file))] == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("ontheflyspec.batch", "from ontheflyspec.functional import framing"),
        ("ontheflyspec.framing", "from ontheflyspec.op import Op"),
        ("ontheflyspec.kernels.rows", "from ontheflyspec.op import Op"),
        ("ontheflyspec.functional.signal_frames", "from ontheflyspec.transforms.base import Transform"),
        ("ontheflyspec.functional.masks", "from ontheflyspec.kernels.cpu.masks import scale_rows"),
        ("ontheflyspec.transforms.mel", "from ontheflyspec.augment.level import Gain"),
        ("ontheflyspec.transforms.mel", "from ontheflyspec.kernels.cpu import pipeline"),
        ("ontheflyspec.augment.level", "from ontheflyspec.data.sampler import Draw"),
        ("ontheflyspec.data.loader", "from ontheflyspec.chain.compose import Compose"),
        ("ontheflyspec.data.loader", "def read():\n    import ontheflyspec.transforms.mel"),
        ("ontheflyspec.chain.compose", "from ontheflyspec.transforms.mel import MelSpectrogram"),
        ("ontheflyspec.augment.background", "from ontheflyspec.data.bank import WaveformBank"),
        ("ontheflyspec.data.audio", "import soundfile"),
        ("ontheflyspec.data.audio", "try:\n    import soxr\nexcept ImportError:\n    pass"),
    ],
)
def test_wrong_imports_are_found(module: str, line: str) -> None:
    assert len(wrong_imports(module, ast.parse(line))) == 1


def test_import_takes_and_prints_nothing(tmp_path: Path) -> None:
    """Optional packages stay out, apart from those that torch itself takes in (tqdm)."""
    code = (
        "import sys, numpy, torch\n"
        "before = set(sys.modules)\n"
        "import ontheflyspec\n"
        "extra = 'triton soundfile soxr tqdm torchdata matplotlib scipy librosa sklearn onnx onnxruntime'.split()\n"
        "extra.append('torchaudio')\n"
        "loaded = [name for name in extra if name in sys.modules and name not in before]\n"
        "assert not loaded, loaded\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yields all functions, each with its full name."""
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name_of(file)}.{node.name}", node


def test_files_and_functions_are_short() -> None:
    long = {name_of(file): len(file.read_text().splitlines()) for file in FILES}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES} == {}
    for name, node in functions():
        assert node.end_lineno is not None
        lines = node.end_lineno - node.lineno + 1
        assert lines <= MOST_FUNCTION_LINES, f"{name} has {lines} lines"


def test_functions_need_few_arguments() -> None:
    """Programs without the interpreter, which take no tuples of names, may need more."""
    for name, node in functions():
        if not any(word in ast.unparse(one) for one in node.decorator_list for word in ("compiled", "triton.jit")):
            given = node.args
            needed = len(given.args) - len(given.defaults) + sum(default is None for default in given.kw_defaults)
            own = [one.arg for one in given.args if one.arg in ("self", "cls")]
            if "List[" not in ast.unparse(given):
                assert needed - len(own) <= MOST_NEEDED, f"{name} needs {needed - len(own)} arguments"


def test_no_circles() -> None:
    """No module imports, over any others, itself."""
    names = {name_of(file): file for file in FILES}
    edges = {
        name: {
            target
            for wanted, _ in imports(tree_of(file))
            if wanted.startswith("ontheflyspec.")
            for target in (wanted, wanted.rpartition(".")[0])
            if target in names and target != "ontheflyspec"
        }
        for name, file in names.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for target in edges[name]:
                visit(target, (*path, name))
            done.add(name)

    for name in names:
        visit(name, ())


def test_one_place_chooses() -> None:
    """Nobody but `op.chosen` asks whether tensors are watched, traced or elsewhere, to take another path."""
    names = r"\b(chosen|PLAIN)\b"
    asking = re.compile(rf"applicable\(|\btransforming\(|op\.{names}|op import .*{names}")
    found = {name_of(file) for file in FILES if asking.search(file.read_text())}
    keeping = {"rng", "kept", "transfer", "torch_internals", "functional.filterbanks"}
    assert found - {f"ontheflyspec.{name}" for name in keeping} == {"ontheflyspec.op"}


PRIVATE = re.compile(r"torch\.(\w+\.)*_[a-zA-Z]\w*|torch\.jit|_dynamo_|\._forward_|forward_ad")


def test_private_names_of_torch_stand_in_one_place() -> None:
    """Those of programs apart, which name operators."""
    found = {name_of(file): {match[0] for match in PRIVATE.finditer(file.read_text())} for file in FILES}
    allowed = {"ontheflyspec.torch_internals", "ontheflyspec.kernels.compiled"}
    assert {name: used for name, used in found.items() if used - {"torch._fft_r2c"} and name not in allowed} == {}


def test_generators_are_made_in_one_place() -> None:
    """Only `rng.generator` makes a torch.Generator, so that a test can put another in its place."""
    made = {
        name_of(file)
        for file in FILES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.Generator", "Generator")
    }
    assert made == {"ontheflyspec.rng"}
