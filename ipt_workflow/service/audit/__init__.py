"""The audit log and the verification of the journal."""
