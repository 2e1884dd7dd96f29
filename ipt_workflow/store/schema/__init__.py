"""The tables, their guard triggers, and the migrations."""
