"""What a report draws: outlines on thumbnails, samples and contact sheets."""
