"""Digests of every registry case: a change of form leaves them as they are.

``python tests/digests.py FILE`` writes one line a case and way: on the CPU item by item on one thread and on two, alone
and with channels, and in the general form with its gradient. ``python tests/digests.py FILE --against OTHER`` says
which lines differ; the other file may come from another checkout (``PYTHONPATH=CHECKOUT python CHECKOUT/tests/...``).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from case import Case, build
from laws import Example
from registry import CASES

SHORT, LONG = (900, 0, 1, 15, 3_000, 700), (90_000, 700, 0, 30_000)
LONG_FEATURES = (2_000, 700, 0, 1)


def digest(*values: Any) -> str:
    """Returns a hash of tensors, to the bit."""
    total = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            total.update(str((value.dtype, tuple(value.shape))).encode())
            total.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


def ways(case: Case) -> Iterator[tuple[str, str]]:
    """Returns what each way of doing a case gives, by name."""
    module = build(case)
    long = LONG if case.rank == 1 else LONG_FEATURES
    for count in (1, 2):
        torch.set_num_threads(count)
        for name, lengths, channels in (("short", SHORT, None), ("stereo", SHORT, 2), ("long", long, None)):
            out = module(Example(lengths, channels, spare=3).batch(case))
            yield f"{name}-{count}", digest(out.data, out.lengths)
    torch.set_num_threads(1)
    for channels in (None, 2):
        batch = Example(SHORT, channels, spare=3).batch(case)
        data = batch.data.clone().requires_grad_()
        module.zero_grad()
        out = module(batch._replace(data=data))
        values = torch.view_as_real(out.data) if out.data.is_complex() else out.data
        weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(3)).to(values.dtype)
        if values.requires_grad:
            (values * weights).sum().backward()
        grads = [parameter.grad for _, parameter in sorted(module.named_parameters())]
        yield f"general-{channels}", digest(out.data, out.lengths)
        yield f"gradient-{channels}", digest(data.grad, *grads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("-k", default="", help="only cases whose names contain this")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = []
    for case in CASES:
        if options.k in case.name:
            try:
                lines += [f"{case.name} {way} {value}" for way, value in ways(case)]
            except Exception as error:  # one broken case must not hide the others
                lines.append(f"{case.name} raised {type(error).__name__}: {str(error)[:200]}")
    options.file.write_text("\n".join(lines) + "\n")
    if options.against:
        wanted = {line.rsplit(" ", 1)[0]: line for line in options.against.read_text().splitlines()}
        found = {line.rsplit(" ", 1)[0]: line for line in lines}
        differ = [name for name in found if wanted.get(name) != found[name]]
        lost = [name for name in wanted if name not in found and options.k in name.split()[0]]
        print("\n".join(f"differs: {name}" for name in differ + lost))
        print(f"{len(found) - len(differ)} of {len(found)} equal")
        sys.exit(bool(differ or lost))


if __name__ == "__main__":
    main()
