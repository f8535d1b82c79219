"""How it is computed fast: threads, compiled programs, row loops, and kernels by kind of device."""

from importlib import import_module
from pkgutil import walk_packages


def load() -> None:
    """Imports every file in the folders here, so that the kernels in them register: a new file needs no other line."""
    for module in walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
