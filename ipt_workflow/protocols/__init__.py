"""What a protocol file says: its definition, instruments, the rhythm metric, and how files are loaded and checked."""
