"""Notices: messages that EHR systems send us, and the inbox where a person resolves those that wait."""
