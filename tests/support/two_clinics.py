"""Two organisations in one service: an `Api` for the second, whose people have the names of the first's, and all that is kept of the first."""

import json
import re
from typing import Any

import httpx
import sqlalchemy as sa

from ipt_workflow.course.triggers import Role
from ipt_workflow.service.access.tokens import NewToken
from ipt_workflow.store.schema.tables import METADATA
from support import staff
from support.http_client import OPERATOR, ROLES, Api

OTHER = "south"
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}")  # ids and hashes
Rows = dict[str, list[tuple[Any, ...]]]


async def other_clinic(api: Api) -> Api:
    """The second organisation, with a token for every role of its own."""
    made = await api.post("/v1/organisations", {"id": OTHER, "title": "South Clinic"}, "operator")
    assert made.status_code == 201, made.text
    clinic = await api.front_desk.clinics.of(OTHER)
    assert clinic is not None
    other = Api(api.client, {}, api.application)
    other.services = api.front_desk.of(clinic)
    other.clinic = clinic
    await clinic.database.write(staff.add, OTHER)
    roles: tuple[Role, ...] = tuple(role for role in ROLES if role != "operator")
    for role in roles:
        made_token = await other.services.tokens.create(OPERATOR, NewToken(role=role, name=role, subject=f"{role}-1"))
        other.tokens[role] = made_token.token
    return other


def rows_of(connection: sa.Connection, organisation: str) -> Rows:
    """Every row of an organisation, by table."""
    return {
        table.name: sorted(
            (tuple(row) for row in connection.execute(sa.select(table).where(table.c.organisation == organisation))), key=repr
        )
        for table in METADATA.sorted_tables
        if "organisation" in table.c
    }


async def kept_of(api: Api) -> Rows:
    return await api.clinic.database.read(rows_of, api.clinic.organisation)


async def ids_of(api: Api, beside: Api) -> set[str]:
    """The ids and hashes that one organisation keeps and the other does not: protocols are the same in both."""
    return ids_in(await kept_of(api)) - ids_in(await kept_of(beside))


def ids_in(rows: Rows) -> set[str]:
    return {value for held in rows.values() for row in held for value in row if isinstance(value, str) and ID.fullmatch(value)}


def said(answer: httpx.Response) -> Any:
    """What an answer says: its status, and its body without the address that was asked for and the id of the request."""
    if not answer.headers.get("content-type", "").endswith("json"):
        return answer.status_code, answer.text
    body = answer.json()
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in {"instance", "request_id"}}
    return answer.status_code, json.dumps(body)
