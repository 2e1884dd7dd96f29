"""People of the subjects that a database knows: those of tokens, courses' therapists, and facilitators of groups."""

import datetime as dt
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

STAFF_ROLES = ("therapist", "supervisor", "auditor", "admin")
KNOWN = """
SELECT organisation, therapist AS person FROM course WHERE therapist IS NOT NULL
UNION SELECT organisation, person FROM group_facilitator
"""
TOKENS = "SELECT organisation, subject, role, revoked_at FROM token WHERE role IN ('therapist', 'supervisor', 'auditor', 'admin')"
text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
PERSON = sa.table(
    "person",
    *(sa.column(name, text()) for name in ("organisation", "id", "name", "roles", "status")),
    *(sa.column(name, moment()) for name in ("created_at", "left_at")),
)
Subject = tuple[str, str]  # an organisation, and a person there


def upgrade() -> None:
    """A person's roles are those of tokens that were not revoked, and `therapist` for whom a course or a group names.

    Who had tokens, all of them revoked, and is named nowhere has left.
    """
    roles: defaultdict[Subject, set[str]] = defaultdict(set)
    taken_away: defaultdict[Subject, list[tuple[str, dt.datetime]]] = defaultdict(list)
    connection = op.get_bind()
    for organisation, person in connection.execute(sa.text(KNOWN)):
        roles[organisation, person].add("therapist")
    for organisation, person, role, revoked_at in connection.execute(sa.text(TOKENS).columns(revoked_at=moment())):
        if revoked_at is None:
            roles[organisation, person].add(role)
        else:
            taken_away[organisation, person].append((role, revoked_at))
    now = dt.datetime.now(dt.UTC)
    rows = [_row(subject, has, now, None) for subject, has in roles.items()]
    rows += [
        _row(subject, {role for role, _ in revoked}, now, max(at for _, at in revoked))
        for subject, revoked in taken_away.items()
        if subject not in roles
    ]
    known = {(row.organisation, row.id) for row in connection.execute(sa.select(PERSON.c.organisation, PERSON.c.id))}
    new = [row for row in rows if (row["organisation"], row["id"]) not in known]
    if new:
        connection.execute(sa.insert(PERSON), new)


def _row(subject: Subject, roles: set[str], now: dt.datetime, left_at: dt.datetime | None) -> dict[str, Any]:
    organisation, person = subject
    return {
        "organisation": organisation,
        "id": person,
        "name": person,
        "roles": " ".join(role for role in STAFF_ROLES if role in roles),
        "status": "left" if left_at else "active",
        "created_at": now,
        "left_at": left_at,
    }


def downgrade() -> None:
    op.execute("DELETE FROM person")
