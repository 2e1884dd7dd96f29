"""Who may be named for what, and where commands name somebody."""

import datetime as dt

import msgspec
import pytest

from ipt_workflow.access import people
from ipt_workflow.access.people import LEFT, NAMED_IN, NOT_IN_ROLE, STAFF_ROLES, UNKNOWN, Named, StaffMember
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.payloads.supervision import Supervisees
from ipt_workflow.course.triggers import BY_NAME, Command
from ipt_workflow.store.schema.tables.columns import ROLES
from ipt_workflow.values.types import Person

LEFT_AT = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)


def test_every_field_of_a_command_that_holds_a_person_is_looked_at():
    found = {(row.name, field) for row in BY_NAME.values() for field in _persons(row.payload)}
    assert found == {(name, field) for name, fields in NAMED_IN.items() for field in fields}


def _persons(payload):
    held = {Person, Person | None, Supervisees}
    return [field.encode_name for field in msgspec.structs.fields(payload) if field.type in held]


def test_people_have_every_role_but_those_of_systems():
    assert set(STAFF_ROLES) == set(ROLES) - {"ehr"}


@pytest.mark.parametrize("named_as", people.ROLE_OF)
def test_only_somebody_who_is_here_and_has_the_role_may_be_named(named_as):
    role = people.ROLE_OF[named_as]
    others = tuple(each for each in STAFF_ROLES if each != role)
    assert people.why_not(StaffMember("a", (role,), "active"), named_as) is None
    assert people.why_not(StaffMember("a", (*others, role), "active"), named_as) is None
    assert people.why_not(StaffMember("a", others, "active"), named_as) == NOT_IN_ROLE.format(role)
    assert people.why_not(StaffMember("a", (role,), "left", LEFT_AT), named_as) == LEFT
    assert people.why_not(None, named_as) == UNKNOWN


def test_every_person_whom_commands_name_is_found_at_their_place():
    transfer = Command("transfer", {"therapist": "a", "handover": "x"})
    assert list(people.named_by([transfer])) == [Named("data.therapist", "a", "therapist")]
    amended = Command("amend", {"supersedes": 2, "data": {"supervisor": "b"}})
    note = Command("note", {"text": "x", "therapist": "c"})
    assert list(people.named_by([transfer, amended, note])) == [
        Named("together[0].data.therapist", "a", "therapist"),
        Named("together[1].data.data.supervisor", "b", "supervisor"),
    ]


@pytest.mark.parametrize("data", ({}, {"therapist": None}, {"therapist": 5}, {"therapist": " a"}, {"therapist": ""}))
def test_what_is_no_identity_is_left_for_decoding_to_refuse(data):
    assert list(people.named_by([Command("transfer", data)])) == []
    assert list(people.named_by([Command("amend", {"supersedes": 1, "data": data})])) == []
    assert list(people.named_by([Command("amend", {"supersedes": 1, "data": [data]})])) == []


def test_only_systems_and_imports_name_strangers():
    assert people.names_anybody(Principal(person="ehr-1", role="ehr"))
    assert people.names_anybody(Principal(person="t", role="therapist", via="ehr"))
    assert people.names_anybody(Principal(person="t", role="therapist", via="cli", importing=True))
    assert not people.names_anybody(Principal(person="t", role="therapist", via="cli"))
    assert not any(people.names_anybody(Principal(person="t", role=role)) for role in STAFF_ROLES)
