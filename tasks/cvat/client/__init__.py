"""The connection to CVAT: settings, login, requests with retries, and errors in a sentence."""
