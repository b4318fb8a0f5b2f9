"""Triton kernels of the scans, from the leaves up; loaded at the first CUDA call."""
