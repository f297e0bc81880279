"""The arguments that commands share, and the options made from the parameter models."""
