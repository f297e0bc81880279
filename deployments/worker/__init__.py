"""Prefect workers of one machine, one for each GPU."""
