"""Benchmarks against the driver of the CVAT SDK; see README.md."""
