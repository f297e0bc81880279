"""Put annotations into CVAT exactly once, and take them back."""
