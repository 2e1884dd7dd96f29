"""The tables, the guard triggers on them, and the migrations."""
