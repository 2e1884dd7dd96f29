"""The migration to proposals that lapse: those on courses that have ended lapse, and the others wait on."""

import asyncio
import datetime as dt

import pytest
import sqlalchemy as sa
from alembic import command
from support import databases

from ipt_workflow.store.schema import migrate, tables

AT = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
STATES = {"open": "initial", "paused": "paused", "completed": "completed", "early": "ended_early", "unsuitable": "not_suitable"}


def proposal(course: str, trigger: str) -> dict:
    made = {"organisation": "default", "course_id": course, "version": 3, "proposed_by": "therapist-1", "proposed_at": AT}
    return {
        **made,
        "id": f"{course} {trigger}",
        "trigger": trigger,
        "body": b"{}",
        "proposed_role": "therapist",
        "status": "waiting",
    }


def course(name: str, state: str) -> dict:
    values = {
        "organisation": "default",
        "id": name,
        "client_id": name,
        "state": state,
        "version": 3,
        "head": "0" * 64,
        "active_acute": False,
    }
    return {
        **values,
        "last_recorded_at": AT,
        "protocol": "ipt",
        "protocol_version": 1,
        "protocol_digest": "0" * 64,
        "snapshot": b"{}",
    }


def fill(connection) -> None:
    known = {column["name"] for column in sa.inspect(connection).get_columns("course")}
    for name, state in STATES.items():
        row = {key: value for key, value in course(name, state).items() if key in known}
        connection.execute(sa.insert(tables.course), row)
        for trigger in ("extend_phase", "amend", "reopen"):
            connection.execute(sa.insert(tables.proposal), proposal(name, trigger))


@pytest.mark.parametrize("kind", ("sqlite", "postgresql"))
def test_proposals_on_courses_that_have_ended_lapse(kind, request, tmp_path):
    url = f"sqlite:///{tmp_path}/ipt.db" if kind == "sqlite" else databases.create(request.getfixturevalue("postgres"))

    async def inside():
        database = databases.opened(url)
        try:
            await database.write(lambda c: command.upgrade(migrate._config(c), "0015"))
            await database.write(fill)
            await database.write(lambda c: command.upgrade(migrate._config(c), "0016"))
            columns = (tables.proposal.c.id, tables.proposal.c.status, tables.proposal.c.reason, tables.proposal.c.body)
            return await database.write(lambda c: c.execute(sa.select(*columns)).all())
        finally:
            await database.close()

    found = {row.id: (row.status, row.reason, row.body) for row in asyncio.run(inside())}
    lapsed = {name for name, (status, _, _) in found.items() if status == "lapsed"}
    assert lapsed == {f"{name} extend_phase" for name in ("completed", "early", "unsuitable")}
    assert {found[name] for name in lapsed} == {("lapsed", "course_ended", None)}
    assert len(found) == 15
