"""The durable record of what was put into a CVAT task, and the lease on writing to it."""
