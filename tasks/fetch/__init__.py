"""Decide which frames are annotated, download them and decode them."""
