"""Groups and their sessions."""
