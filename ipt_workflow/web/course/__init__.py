"""The pages of one course on which something is recorded."""

"""The pages of one course."""
