"""Annotate a sandbox with a real model: `make demo`."""
