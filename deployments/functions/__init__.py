"""`cvat-flows functions`: what is installed, and whether a function keeps the protocol."""
