"""What every command has: its `Command`, its exit status, its log and its errors."""
