"""Compare two sets of objects: which of them are the same, and how alike they are."""
