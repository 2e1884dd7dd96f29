"""Clients' rights: the verbs by which they are honoured."""
