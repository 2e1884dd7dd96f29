"""SQLite and PostgreSQL, and how one of them is opened."""
