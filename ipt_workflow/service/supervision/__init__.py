"""Supervision: meetings that speak of several courses, their records, and what a supervisor looks at next."""
