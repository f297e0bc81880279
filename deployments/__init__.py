"""Where and when the flows run: deployments, set-up, the sandbox, the demo."""
