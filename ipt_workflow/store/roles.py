"""A person's roles as their row holds them: one text, separated by spaces."""

import datetime as dt
from collections.abc import Iterable

import sqlalchemy as sa

from ipt_workflow.access.people import StaffMember
from ipt_workflow.store.schema.tables import person

MEMBER_COLUMNS = (person.c.id, person.c.roles, person.c.status, person.c.left_at)


def stored(roles: Iterable[str]) -> str:
    return " ".join(roles)


def read(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def staff_member(person_id: str, roles: str, status: str, left_at: dt.datetime | None) -> StaffMember:
    """A member of the staff from the values of MEMBER_COLUMNS."""
    return StaffMember(person_id, read(roles), status, left_at)


def has_role(role: str) -> sa.ColumnElement[bool]:
    """The condition that a person's row has the role."""
    found: sa.ColumnElement[bool] = (" " + person.c.roles + " ").contains(f" {role} ")
    return found


def acts_as(role: str) -> sa.ColumnElement[bool]:
    """The condition that a person's row is of somebody who is here and has the role, as `access.people.acts_as` says it."""
    return sa.and_(person.c.status == "active", has_role(role))
