"""One frame of an upload: what is planned for it, what becomes of it."""
