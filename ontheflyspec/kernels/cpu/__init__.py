"""Kernels for the CPU, each beside its operation of the same file name in `functional`."""
