"""Upload annotations to CVAT exactly once, and undo it."""
