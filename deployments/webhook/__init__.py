"""Receive CVAT's webhooks and ask Prefect for sweeps of the CVAT tasks that they are about."""
