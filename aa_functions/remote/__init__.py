"""Functions that run behind a URL, by the contract of CVAT's serverless (Nuclio) functions."""
