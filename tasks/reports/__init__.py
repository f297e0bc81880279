"""What people read after a run: report, failed frames, preview and charts."""
