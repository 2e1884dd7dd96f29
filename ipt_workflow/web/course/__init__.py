"""The pages of one course: how it stands, and what is recorded on it."""
