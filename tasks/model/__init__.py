"""The values that the steps exchange, and the errors that name what is wrong."""
