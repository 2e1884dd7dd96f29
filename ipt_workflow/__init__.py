"""Runs courses of Interpersonal Psychotherapy as explicit, enforced and audited state machines."""

__version__ = "0.1.0"
