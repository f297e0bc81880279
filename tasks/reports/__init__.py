"""What a person reads after a run: report, failed frames, preview, charts."""
