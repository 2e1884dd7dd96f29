"""Writes units: their rows, one unit alone, many units in one transaction."""
