"""The callers and what they may do: principals, tokens, and named policy questions."""
