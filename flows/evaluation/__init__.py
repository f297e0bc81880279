"""How good a function is, what to correct first, and what people did with what was uploaded."""
