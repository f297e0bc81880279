"""The steps of annotating a CVAT task, one file a step."""
