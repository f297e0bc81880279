"""Decide which frames to annotate, download them and decode them."""
