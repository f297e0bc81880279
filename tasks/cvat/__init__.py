"""Talk to CVAT: connection, requests, tasks, labels, jobs, annotations."""
