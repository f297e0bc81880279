"""What a person reads about an evaluation: tables, pages and files."""
