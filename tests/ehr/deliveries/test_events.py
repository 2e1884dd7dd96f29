"""What subscribers receive: which type, and nothing beyond what their scope allows."""

import datetime as dt

import jsonschema
import msgspec
import pytest

from ipt_workflow.api.webhooks import names, webhooks
from ipt_workflow.course import triggers
from ipt_workflow.ehr.deliveries import events
from ipt_workflow.store.consents import Sharing
from ipt_workflow.store.events import StoredEvent

AT = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
EVERYTHING = (events.CHANGED, events.REFUSED, events.ATTENTION, events.DISABLED, events.EVERY_NAME)


def event(kind: str, **more) -> StoredEvent:
    known = {"id": "1", "position": 1, "created_at": AT, "course": "c", "seq": None, "detail": None, "subscription": None}
    return StoredEvent(kind=kind, **{**known, "entry": None, "refused": None, "rules": (), "sharing": Sharing(), **more})


@pytest.mark.parametrize(
    ("kind", "trigger", "types", "scope", "expected"),
    (
        ("entry", "note", (events.CHANGED,), "thin", "course.changed"),
        ("entry", "note", (events.CHANGED,), "clinical", "course.changed"),
        ("entry", "note", ("course.note",), "clinical", "course.note"),
        ("entry", "note", ("course.note", events.CHANGED), "clinical", "course.note"),
        ("entry", "pause", ("course.note", events.CHANGED), "clinical", "course.changed"),
        ("entry", "pause", ("course.note",), "clinical", None),
        ("entry", "note", (events.EVERY_NAME,), "clinical", "course.note"),
        ("entry", "note", EVERYTHING, "thin", "course.changed"),
        ("entry", "note", (events.EVERY_NAME, "course.note"), "thin", None),
        ("refusal", None, EVERYTHING, "clinical", "course.refused"),
        ("refusal", None, EVERYTHING, "thin", None),
        ("attention", None, EVERYTHING, "thin", "course.attention"),
        ("attention", None, (events.CHANGED,), "thin", None),
        ("disabled", None, EVERYTHING, "thin", "subscription.disabled"),
        ("ping", None, (), "thin", "subscription.ping"),
        ("withheld", None, (events.CHANGED,), "thin", "course.withheld"),
        ("resumed", None, (events.REFUSED,), "clinical", "course.resumed"),
        ("withheld", None, (events.WITHHELD,), "thin", "course.withheld"),
        ("withheld", None, (events.DISABLED,), "thin", None),
    ),
)
def test_an_event_comes_once_under_the_most_specific_type_that_was_subscribed_to_and_is_allowed(
    kind, trigger, types, scope, expected
):
    assert events.type_for(kind, trigger, types, scope) == expected


def test_the_kind_of_attention_is_for_the_clinical_scope_alone():
    risk = event("attention", detail="risk")
    thin = events.render(risk, EVERYTHING, "thin")
    assert msgspec.json.decode(msgspec.json.encode(thin)) == {
        "type": "course.attention",
        "timestamp": "2026-03-02T09:00:00Z",
        "data": {"course": "c"},
    }
    assert events.render(risk, EVERYTHING, "clinical").data.kind == "risk"


def test_a_refusal_is_not_rendered_for_the_thin_scope_whatever_its_types_say():
    refusal = event("refusal", refused="begin_middle", rules=("sick_role_resolved",))
    assert events.render(refusal, EVERYTHING, "thin") is None
    assert events.render(refusal, EVERYTHING, "clinical").data.rules == ("sick_role_resolved",)


@pytest.mark.parametrize(
    "name", ("course.begin_middle", "course.note", "course.assign_sick_role", events.REFUSED, events.EVERY_NAME)
)
def test_a_name_that_can_disclose_needs_the_clinical_scope(name):
    assert "clinical" in events.fault_in_type(name, "thin")
    assert events.fault_in_type(name, "clinical") is None


@pytest.mark.parametrize("name", ("course.nonsense", "note", "", "course.", "subscription.ping", "*"))
def test_what_is_no_type_cannot_be_subscribed_to(name):
    assert "must be" in events.fault_in_type(name, "clinical")


@pytest.mark.parametrize("name", names())
def test_every_type_is_documented_with_an_example_that_its_schema_takes(name):
    described, components = webhooks("#/components/schemas/{name}")
    content = described[name]["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": components}
    validator = jsonschema.Draft202012Validator(schema)
    example = msgspec.json.decode(msgspec.json.encode(content["example"]))
    assert list(validator.iter_errors(example)) == []
    assert list(validator.iter_errors({**example, "type": "other"})) != []
    assert list(validator.iter_errors({**example, "data": {}})) != []
    assert described[name]["post"]["description"]


def test_every_trigger_has_its_type():
    assert {f"course.{row.name}" for row in triggers.TABLE} < set(names())
