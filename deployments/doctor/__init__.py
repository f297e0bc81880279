"""The checks of `cvat-flows doctor`, one file for each."""
