"""How the project's own YOLOv8n was made: its images and its training."""
