"""Receive CVAT webhooks and announce tasks that are ready."""
