"""What all tests share: how hypothesis explores, how many threads torch uses, which tests are the quick selection.

HYPOTHESIS_PROFILE=nightly explores: its seed is the day (UTC), so that a failure comes again all day, and later with
``--hypothesis-seed``. What it finds becomes an ``@example``.
"""

from __future__ import annotations

import datetime
import importlib
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("ci", max_examples=5, derandomize=True, **COMMON)
settings.register_profile("nightly", max_examples=100, print_blob=True, **COMMON)
settings.load_profile(PROFILE)

LAWS = {"test_alone", "test_padding", "test_draw", "test_a_kernel_agrees_with_its_reference"}
"""What the quick selection asks of every class, by its first case, and of every operation."""
QUICK = """
test_api.py test_batch.py test_checks.py test_choices.py test_collate.py test_dataset.py test_labels.py test_layers.py
test_loader.py test_new_device.py test_rng.py test_statistics.py test_windows.py
"""
"""Files of which it takes the first case of every test; of those in the folder ``parity`` it takes one test."""

# Two processes that fill numba's cache of librosa's functions at once have crashed: each has its own.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) is not None:
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / f"numba-{worker}")
importlib.import_module("programs")  # before anyone imports Triton, which it makes interpret
torch.set_num_threads(1)  # each process has a core; tests of threads say how many they want


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if PROFILE == "nightly" and config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%d}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the quick selection."""
    seen: set[tuple[str, str]] = set()
    for item in items:
        file, _, test = item.nodeid.partition("::")
        name, _, case = test.partition("[")
        if item.path.parent.name == "parity":
            one = (file, "")
        elif name in LAWS:
            one = (name, case.partition("-")[0].rstrip("]"))
        elif item.path.name in QUICK.split():
            one = (file, name)
        else:
            continue
        if one not in seen:
            seen.add(one)
            item.add_marker("smoke")
