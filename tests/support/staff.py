"""The people whom tests name. Every database for tests has them."""

import datetime as dt

from ipt_workflow.runtime import settings as configuration
from ipt_workflow.store import people
from ipt_workflow.store.database import Connection
from ipt_workflow.store.people import StoredPerson

ORGANISATION = configuration.load({}).organisation
ADDED = dt.datetime(2025, 1, 6, 9, 0, tzinfo=dt.UTC)
THERAPISTS = tuple(f"therapist-{number}" for number in range(1, 10))
SUPERVISORS = ("supervisor-1", "supervisor-2")


def add(connection: Connection, organisation: str = ORGANISATION) -> None:
    for role, ids in (("therapist", THERAPISTS), ("supervisor", SUPERVISORS)):
        for each in ids:
            people.insert(connection, organisation, StoredPerson(id=each, name=each, roles=(role,), created_at=ADDED))
