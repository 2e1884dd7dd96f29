"""Mutated resources: reading raises nothing but CommandInvalid, and no answer about self-harm is lost."""

import copy
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fhir_bodies import ANSWERS, LOINC, PHQ9, appointment, encounter, form
from support.received import RISK, concept, item, observation, read

from ipt_workflow.ehr.notices.content import canonical
from ipt_workflow.errors import CommandInvalid

Path = tuple[str | int, ...]
POSITIVE = (
    {"valueInteger": 1},
    {"valueDecimal": 3.0},
    {"valueInteger": 99},
    {"valueString": "Nearly every day"},
    {"valueBoolean": True},
    {"valueQuantity": {"value": 2}},
    {"valueCoding": {"system": LOINC, "code": ANSWERS[3]}},
    {"valueCoding": {"code": ANSWERS[1]}},
    {"valueCodeableConcept": {"text": "often"}},
    {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]},
)
PATIENT = {
    "resourceType": "Patient",
    "id": "P1",
    "deceasedBoolean": True,
    "link": [{"type": "replaces", "other": {"reference": "Patient/2"}}],
}
REQUEST = {
    "resourceType": "ServiceRequest",
    "id": "S1",
    "status": "active",
    "intent": "order",
    "subject": {"reference": "Patient/1"},
}
EPISODE = {"resourceType": "EpisodeOfCare", "id": "C1", "status": "active", "patient": {"reference": "Patient/1"}}
KINDS = (encounter(), appointment(), form([1] * 9, total=9), observation("44261-6", valueInteger=3), PATIENT, REQUEST, EPISODE)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats(allow_nan=False) | st.sampled_from(["", "#p", "final", RISK, "2026"]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "coding", "item", "answer", "reference", "valueInteger", "linkId", "concept", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


INVALID: tuple = (None,)


def read_or_invalid(resource: dict, entries: dict | None = None) -> tuple:
    """What is read, or INVALID after CommandInvalid."""
    try:
        return read(resource, entries)
    except CommandInvalid:
        return INVALID


def paths(value: object, before: Path = ()) -> Iterator[Path]:
    """The place of everything inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inside:
        yield (*before, name)
        yield from paths(each, (*before, name))


def apart(one: Path, other: Path) -> bool:
    """Whether neither place is inside the other."""
    length = min(len(one), len(other))
    return one[:length] != other[:length]


@st.composite
def mutated(draw, resource: dict, kept: tuple[Path, ...] = ()) -> dict:
    """The resource after some changes anywhere but at the places `kept`."""
    resource = copy.deepcopy(resource)
    for _ in range(draw(st.integers(0, 5))):
        places = [each for each in paths(resource) if all(apart(each, one) for one in kept)]
        if not places:
            break
        *above, last = draw(st.sampled_from(places))
        holder = resource
        for name in above:
            holder = holder[name]
        # Nothing is taken out of a list, so that the places that are kept stay where they are.
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = draw(json_values)
    return resource


@st.composite
def with_positive_answer(draw) -> dict:
    """A resource with one positive or unreadable answer to the risk item, and any fault elsewhere."""
    answer = draw(st.sampled_from(POSITIVE))
    leaf = item(RISK, answer)
    components = [{"code": concept(code), "valueInteger": 0} for code in PHQ9[:8]]
    part = {"code": concept(RISK), **answer}
    shape = draw(st.sampled_from(["form", "nested", "answers", "observation", "component", "inside", "report", "member"]))
    if shape == "form":
        resource = form([0] * 8)
        resource["item"].append(leaf)
        kept: tuple[Path, ...] = (("item", 8),)
    elif shape == "nested":
        resource, kept = form([], item=[{"linkId": "g", "item": [leaf]}]), (("item", 0, "item", 0),)
    elif shape == "answers":
        above = {"linkId": "g", "answer": [{"valueBoolean": True, "item": [leaf]}]}
        resource, kept = form([], item=[above]), (("item", 0, "answer", 0, "item", 0),)
    elif shape == "observation":
        resource, kept = observation(RISK, **answer), (("code",), *((name,) for name in answer), ("resourceType",))
    elif shape == "component":
        resource, kept = observation("44249-1", component=[*components, part]), (("component", 8),)
    else:
        inside = {"resourceType": "Observation", "id": "m", **part}
        holder = {
            "inside": encounter(),
            "report": {"resourceType": "DiagnosticReport", "id": "D", "subject": {"reference": "Patient/1"}},
            "member": observation("44249-1", hasMember=[{"reference": "#m"}]),
        }[shape]
        resource, kept = {**holder, "contained": [inside]}, (("contained", 0),)
    return draw(mutated(resource, kept))


@given(resource=with_positive_answer())
@settings(max_examples=600, deadline=None)
def test_a_positive_or_unreadable_answer_about_self_harm_is_never_read_as_no_risk(resource):
    contents = read(resource)
    assert any(each.risk for each in contents)
    assert all(each.trigger == "record_measure" and not each.void for each in contents if each.risk)


@pytest.mark.parametrize("resource", KINDS, ids=lambda each: each["resourceType"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_mutated_resource_is_read_or_is_invalid(resource, data):
    changed = data.draw(mutated(resource))
    contents = read_or_invalid(changed, {"#p": PATIENT, "urn:x": changed})
    if contents is INVALID:
        return
    assert contents
    assert all((each.about == "nothing") == (each.ignored is not None) for each in contents)
    assert len({each.part for each in contents}) == len(contents)
    assert canonical(contents)


@pytest.mark.parametrize("name", ("item", "contained", "extension", "code", "serviceType", "subject"))
@pytest.mark.parametrize("resource", KINDS, ids=lambda each: each["resourceType"])
@pytest.mark.parametrize("levels", (100, 400, 900))
def test_a_resource_as_deep_as_json_may_be_is_read_or_is_invalid(resource, name, levels):
    for key in ("item", "concept", "coding", "contained"):
        deep: object = {key: []}
        for _ in range(levels):
            deep = {key: [deep]} if key != "concept" else {key: deep}
        contents = read_or_invalid({**resource, name: deep})
        assert contents is INVALID or canonical(contents)
