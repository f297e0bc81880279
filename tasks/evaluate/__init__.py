"""How good a function is: its detections against what people left in CVAT."""
