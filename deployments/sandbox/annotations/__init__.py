"""What CVAT accepts as annotations, and how it stores and shows them."""
