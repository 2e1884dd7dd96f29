"""What each trigger does to a course."""
