"""The packages that we are measured against, each imported only if it is installed."""

from __future__ import annotations

import importlib
import os
import sys
import types
import warnings
from typing import Any


def peer(name: str) -> Any:
    """Returns an installed module, None if it is not installed."""
    if name.split(".")[0] == "torchaudio":
        without_extension()
    os.environ.setdefault("NNAUDIO_DISABLE_CITATION_REMINDER", "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


def without_extension() -> None:
    """Lets torchaudio's Python code run beside a CPU build of torch, where its compiled extension does not load."""
    if "torchaudio" in sys.modules:
        return
    stub: Any = types.ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub.fail_if_no_align = lambda function: function
    sys.modules["torchaudio._extension"] = stub
