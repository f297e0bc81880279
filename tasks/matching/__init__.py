"""Match the function's labels with the task's."""
