"""Validate what the function returned, and replace its ids by the task's."""
