"""The pages of one course on which something is recorded."""
