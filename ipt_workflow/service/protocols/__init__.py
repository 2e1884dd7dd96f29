"""Migration of courses to another version of their protocol, and replay of recorded courses under a candidate."""
