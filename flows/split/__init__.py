"""Split the detection on one CVAT task between several workers."""
