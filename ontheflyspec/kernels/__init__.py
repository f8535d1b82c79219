"""How it is computed fast: threads, compiled programs, row loops, and kernels by kind of device."""

from importlib import import_module
from pkgutil import walk_packages


def load() -> None:
    """Imports every file in the folders here, so that the kernels in them register: a new file needs no other line.

    Files of programs for a compiler of their own are left to the kernels that launch them.
    """
    for module in walk_packages(__path__, f"{__name__}."):
        if ".programs" not in module.name:
            import_module(module.name)
