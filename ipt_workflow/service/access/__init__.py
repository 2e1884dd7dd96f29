"""Tokens and authentication."""
