"""How fast annotating is, against the driver of the CVAT SDK: `python -m bench`."""
