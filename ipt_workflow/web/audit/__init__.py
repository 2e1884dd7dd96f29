"""The pages of auditors: what is in the audit log, what it adds up to, what it proves, and what leaves the house."""
