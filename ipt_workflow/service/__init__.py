"""What people and systems can do with courses, groups, protocols and the audit log, one module a subject."""
