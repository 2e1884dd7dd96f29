"""The write by which readiness learns whether writes succeed. On PostgreSQL it is one statement, so no transaction is left open."""

PROBE = {
    "sqlite": "INSERT INTO probe (organisation, written_at) VALUES (?, datetime('now')) ON CONFLICT (organisation)"
    " DO UPDATE SET written_at = excluded.written_at",
    "postgresql": "INSERT INTO probe (organisation, written_at) VALUES ($1, now()) ON CONFLICT (organisation)"
    " DO UPDATE SET written_at = excluded.written_at",
}
