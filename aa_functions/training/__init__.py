"""Images and training of the project's own YOLOv8n."""
