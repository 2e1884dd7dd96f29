"""Single values as they cross every boundary: their types, what is wrong with one in words, and canonical bytes."""
