"""What commands print: text and tables for people, JSON for programs."""
