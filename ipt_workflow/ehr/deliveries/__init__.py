"""What we tell an EHR."""
