"""A small CVAT-compatible server for demos and tests."""

ADDRESS_FILE = "address"
"""In the data folder: the URL of the running server, written when it accepts connections."""
