"""Kernels for CUDA in Triton: each file registers kernels, and one in the folder of programs holds what they launch."""
