"""How commands run flows in their own process."""
