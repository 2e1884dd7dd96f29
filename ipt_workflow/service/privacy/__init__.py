"""What a client may ask of the clinic: their data, and who has seen it."""
