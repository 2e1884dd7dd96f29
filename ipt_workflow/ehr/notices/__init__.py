"""What an EHR tells us."""
