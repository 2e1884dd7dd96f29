"""Single values, as they cross every boundary: their types, faults in words, canonical JSON and merge patches."""
