"""The commands of `cvat-flows` that set up and check an installation."""
