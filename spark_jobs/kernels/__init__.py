"""Vectorised and Numba kernels over Arrow buffers."""
