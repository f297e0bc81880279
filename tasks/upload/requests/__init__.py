"""The requests of an upload to CVAT, and what became of those without a clear answer."""
