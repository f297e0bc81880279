"""What became of the annotations that this project uploaded."""
