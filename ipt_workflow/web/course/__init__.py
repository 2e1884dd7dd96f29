"""The pages of one course."""
