"""The migration to people: everybody whom a database knew is known, with the roles that were not taken away."""

import asyncio
import datetime as dt

import pytest
import sqlalchemy as sa
from alembic import command
from support import databases

from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.schema import migrate, tables

AT = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
LATER = AT + dt.timedelta(days=1)
TOKENS = (  # subject, role, revoked at
    ("both", "therapist", None),
    ("both", "supervisor", None),
    ("both", "admin", LATER),
    ("gone", "therapist", AT),
    ("gone", "auditor", LATER),
    ("treating", "therapist", LATER),
    ("north", "ehr", None),
    ("Zoë", "admin", None),
)
COURSE = {
    "state": "initial",
    "version": 3,
    "head": "0" * 64,
    "active_acute": False,
    "last_recorded_at": AT,
    "protocol": "ipt",
    "protocol_version": 1,
    "protocol_digest": "0" * 64,
    "snapshot": b"{}",
}


def fill(connection: sa.Connection) -> None:
    for number, (subject, role, revoked_at) in enumerate(TOKENS):
        token = {"id": f"{number}", "secret_hash": "0" * 64, "role": role, "name": "x", "subject": subject}
        times = {"created_at": AT, "expires_at": AT, "revoked_at": revoked_at}
        connection.execute(sa.insert(tables.token), {"organisation": "default", **token, **times})
    for number, therapist in enumerate(("treating", "treating", "both", None)):
        named = {"id": f"{number}", "client_id": f"{number}", "therapist": therapist}
        connection.execute(sa.insert(tables.course), {"organisation": "default", **named, **COURSE})
    connection.execute(
        sa.insert(tables.course), {"organisation": "north", "id": "9", "client_id": "9", "therapist": "gone", **COURSE}
    )
    facilitator = {"organisation": "default", "group_id": "1", "seq": 1, "person": "leads", "told_by": "both", "told_at": AT}
    connection.execute(sa.insert(tables.group_facilitator), facilitator)


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_everybody_whom_the_database_knew_is_a_person_and_who_lost_every_token_has_left(kind, request, tmp_path):
    url = f"sqlite:///{tmp_path}/ipt.db" if kind == "sqlite" else databases.create(request.getfixturevalue("postgres"))

    async def inside():
        database = open_database(url)
        try:
            await database.write(lambda c: command.upgrade(migrate._config(c), "0020"))
            await database.write(fill)
            await database.write(lambda c: command.upgrade(migrate._config(c), "0021"))
            return await database.read(lambda c: c.execute(sa.select(tables.person)).all())
        finally:
            await database.close()

    found = asyncio.run(inside())
    assert {(row.organisation, row.id): (row.roles, row.status, row.left_at) for row in found} == {
        ("default", "both"): ("therapist supervisor", "active", None),
        ("default", "gone"): ("therapist auditor", "left", LATER),
        ("default", "treating"): ("therapist", "active", None),
        ("default", "leads"): ("therapist", "active", None),
        ("default", "Zoë"): ("admin", "active", None),
        ("north", "gone"): ("therapist", "active", None),
    }
    assert {row.name == row.id for row in found} == {True}
