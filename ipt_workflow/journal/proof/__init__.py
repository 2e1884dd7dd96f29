"""Proof of the log: an RFC 6962 tree of what was recorded, signed checkpoints of it, and a verifier that needs nothing of this service."""
