"""Read what people say is on the frames: from CVAT or from a file."""
