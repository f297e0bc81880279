"""The parts of one annotate-task run."""
