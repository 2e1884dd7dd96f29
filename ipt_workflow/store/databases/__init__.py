"""SQLite and PostgreSQL: how each runs statements, and opening one of them by its URL."""
