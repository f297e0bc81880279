"""Hand work to people: CVAT issues on frames, and the order of jobs."""
