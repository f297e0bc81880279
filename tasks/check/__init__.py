"""Check a function's output, and convert it to the task's ids."""
