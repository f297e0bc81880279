"""Figures that are kept, to follow them over time and to decide by them what to annotate."""
