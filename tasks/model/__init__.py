"""The values that steps exchange, and the base of all errors for users."""
