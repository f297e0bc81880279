"""`make demo`: annotate two CVAT tasks of a sandbox with a real model."""
