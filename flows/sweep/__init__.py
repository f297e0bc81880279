"""Find new CVAT tasks and have them annotated."""
