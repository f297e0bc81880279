"""What a function depends on: sources, libraries and the files that it reads."""
