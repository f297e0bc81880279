"""Make what cvat-flows needs on a Prefect server."""
