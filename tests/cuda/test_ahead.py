"""All Triton programs compile for A100 and H100, for the types that cases of the registry launch them with."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import torch

from programs import needs_triton


@needs_triton
def test_programs_compile(tmp_path: Path) -> None:
    """In a process of its own: here Triton interprets."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert int(done.stdout) > 2


def main() -> None:
    """Compiles what the cases launch, and prints how many different programs that were."""
    import pretend
    from case import build
    from laws import Example
    from programs import compile_ahead, kernels_of_cuda
    from registry import CASES

    compiled = set()

    def once(file: str, program: str, grid: tuple[int, ...], cost: object, *args: object, **constants: object) -> None:
        types = [arg.dtype if isinstance(arg, torch.Tensor) else type(arg) for arg in args]
        modes = [(name, value) for name, value in constants.items() if isinstance(value, bool) or name == "FORM"]
        key = (file, program, *map(str, types), *modes)  # sizes make no other programs
        if key not in compiled:
            compiled.add(key)
            compile_ahead(file, program, grid, cost, *args, **constants)

    spec = Example((160, 0, 1, 33, 128), spare=3)
    for case in CASES:
        batch = spec.batch(case)
        sent = batch._replace(data=pretend.send(batch.data))
        with torch.no_grad(), pretend.session(), kernels_of_cuda(once):
            pretend.send(copy.deepcopy(build(case)))(sent)
    print(len(compiled))


if __name__ == "__main__":
    main()
