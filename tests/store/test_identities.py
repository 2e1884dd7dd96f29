"""Stored identities that would be refused today are found, by row and without their value; rows that are not in use are not named."""

import asyncio
import datetime as dt

import sqlalchemy as sa
from support import databases

from ipt_workflow.service import check
from ipt_workflow.store.identities import REPORTED_MAX
from ipt_workflow.store.schema import tables

AT = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def found_after(url: str, *statements: sa.Insert) -> list[str]:
    """What the check finds after these statements."""

    async def run() -> list[str]:
        database = databases.opened(url)
        try:
            await database.write(lambda connection: [connection.execute(each) for each in statements] and None)
            return await database.read(check.faults)
        finally:
            await database.close()

    return asyncio.run(run())


def token(number: int, **more: object) -> sa.Insert:
    row = {
        "organisation": "default",
        "id": f"t{number}",
        "secret_hash": "0" * 64,
        "role": "auditor",
        "name": f"a{number}",
        "subject": "a",
    }
    return sa.insert(tables.token).values({**row, "created_at": AT, "expires_at": AT, **more})


def facilitator(seq: int, person: str) -> sa.Insert:
    row = {"organisation": "default", "group_id": "g1", "seq": seq, "person": person, "told_by": "a", "told_at": AT}
    return sa.insert(tables.group_facilitator).values(row)


def person(person_id: str, status: str = "active") -> sa.Insert:
    row = {"organisation": "default", "id": person_id, "name": "a", "roles": "therapist", "status": status, "created_at": AT}
    return sa.insert(tables.person).values(row)


def group(label: str) -> sa.Insert:
    row = {"organisation": "default", "id": "g1", "label": label, "protocol": "ipt-group", "protocol_version": 2, "version": 2}
    return sa.insert(tables.therapy_group).values({**row, "created_at": AT, "created_by": "a"})


def test_sound_rows_are_not_named(database_url):
    assert found_after(database_url, token(1, subject="Zoë"), group("g1"), facilitator(1, "a")) == []


def test_each_unsound_row_is_named_with_what_mends_it(database_url):
    found = found_after(database_url, token(1, subject="a\n"), token(2, name="\u00a0b"), group("g1\n"), facilitator(1, "Zoe\u0308"))
    assert [each.partition(": ")[0] for each in found] == [
        "identity token.subject of 't1'",
        "identity token.name of 't2'",
        "identity therapy_group.label of 'g1'",
        "identity group_facilitator.person of 'g1'",
    ]
    assert [each.partition("; ")[2] for each in found] == [
        "revoke the token and create another",
        "revoke the token and create another",
        "make another group",
        "name the group's facilitators again",
    ]
    assert "Zoe" not in "".join(found)


def test_a_person_with_an_unsound_id_is_named_while_they_are_here(database_url):
    assert found_after(database_url, person("b "), person("c ", "left"), person("Zoë")) == [
        "identity person.id of 'b ': it must not begin or end with a space; record that the person left, and add them under another id"
    ]


def test_what_is_not_in_use_any_more_is_not_named(database_url):
    client = {"organisation": "default", "id": "c1", "ref": "EHR-1\n", "created_at": AT}
    assert (
        found_after(
            database_url,
            token(1, subject="a\n", revoked_at=AT),
            sa.insert(tables.client).values(client),  # has no course
            group("g1"),
            facilitator(1, "a "),
            facilitator(2, "a"),
        )
        == []
    )


def test_many_rows_are_counted_rather_than_listed(database_url):
    found = found_after(database_url, *(token(number, subject="a ") for number in range(REPORTED_MAX + 3)))
    assert len(found) == REPORTED_MAX + 1
    assert found[-1] == "identity token.subject: 3 more rows"
