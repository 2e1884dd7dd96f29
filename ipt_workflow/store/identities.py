"""Finds stored identities that would be refused today. They go on being read, and a person mends them."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from ipt_workflow.store.schema import tables
from ipt_workflow.values.identities import identity_fault

REPORTED_MAX = 20  # of each column
Found = tuple[str, str, sa.Select[Any]]


def faults(connection: sa.Connection) -> list[str]:
    """What is wrong with identities in use, by row. No value is repeated: it may be about a client."""
    return [fault for found in _in_use() for fault in _faults(connection, *found)]


def _in_use() -> Iterator[Found]:
    """Every column with identities: its name, what mends a row, and its rows in use."""
    client, course, token, source = tables.client, tables.course, tables.token, tables.source
    has_course = sa.exists().where(course.c.organisation == client.c.organisation, course.c.client_id == client.c.id)
    yield "client.ref", "move the client's courses with `relink_client`", sa.select(client.c.id, client.c.ref).where(has_course)
    yield "course.therapist", "fire `transfer`", sa.select(course.c.id, course.c.therapist)
    live = sa.select(token.c.id, token.c.subject).where(token.c.revoked_at.is_(None))
    yield "token.subject", "revoke the token and create another", live
    yield "token.name", "revoke the token and create another", live.with_only_columns(token.c.id, token.c.name)
    here = sa.select(tables.person.c.id, tables.person.c.id).where(tables.person.c.status == "active")
    yield "person.id", "record that the person left, and add them under another id", here
    yield "source.id", "add another source and disable this one", sa.select(source.c.id, source.c.id)
    yield "source.client_prefix", "add another source and disable this one", sa.select(source.c.id, source.c.client_prefix)
    yield "therapy_group.label", "make another group", sa.select(tables.therapy_group.c.id, tables.therapy_group.c.label)
    yield "group_facilitator.person", "name the group's facilitators again", _facilitators()


def _facilitators() -> sa.Select[Any]:
    """The present facilitators of each group: those of the latest line that names any."""
    named, later = tables.group_facilitator, tables.group_facilitator.alias()
    replaced = sa.exists().where(
        later.c.organisation == named.c.organisation, later.c.group_id == named.c.group_id, later.c.seq > named.c.seq
    )
    return sa.select(named.c.group_id, named.c.person).where(~replaced)


def _faults(connection: sa.Connection, name: str, remedy: str, rows: sa.Select[Any]) -> Iterator[str]:
    unsound = 0
    for row, text in connection.execution_options(yield_per=1000).execute(rows):
        fault = identity_fault(text or "")
        unsound += fault is not None
        if fault and unsound <= REPORTED_MAX:
            yield f"identity {name} of {row!r}: it {fault}; {remedy}"
    if unsound > REPORTED_MAX:
        yield f"identity {name}: {unsound - REPORTED_MAX} more rows"
