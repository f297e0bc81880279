"""What people see of a run: its progress, its report, its links and its last word."""
