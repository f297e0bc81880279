"""Receive CVAT's webhooks and announce the tasks that are ready to Prefect."""
