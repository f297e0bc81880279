"""Where and when the flows run: deployments, setup, doctor, webhook receiver, sandbox, demo."""
