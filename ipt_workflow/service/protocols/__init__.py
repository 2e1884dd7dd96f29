"""Moving courses to another version of their protocol, and judging by a candidate what was recorded."""
