"""Commands of `cvat-flows` about where the flows run."""
