"""Protocol files: their definition, instruments, the rhythm metric, and how files are loaded and checked."""
