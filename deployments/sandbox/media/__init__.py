"""Uploaded files: importing them, and reading frames and chunks."""
