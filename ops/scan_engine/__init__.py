"""What all selective scans share: the C++ of `cpu/`, the Triton of `gpu/`."""
