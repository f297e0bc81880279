"""Plan and make what cvat-flows needs on a Prefect server and in CVAT."""
