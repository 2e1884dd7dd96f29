"""Texts that are identities: what looks alike is alike, or it is refused with the reason."""

import unicodedata
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from ipt_workflow.errors import CommandInvalid
from ipt_workflow.values import identities
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.identities import identity_fault, is_identity
from ipt_workflow.values.types import ClientRef, Code, ExternalRef, Person, whole

SOUND = ("EHR-1", "a b", "Zoë", "山田 太郎", "O’Brien", "क़लम", "ë́x", "1", "a" * 128, "𝔘 1")
UNSOUND = {
    "EHR-1\n": "a control character: remove U+000A at place 6",
    "\tEHR-1": "a control character: remove U+0009 at place 1",
    "EHR\x7f1": "U+007F",
    "EHR\x851": "U+0085",
    " EHR-1": "begin or end with a space",
    "EHR-1 ": "begin or end with a space",
    " ": "begin or end with a space",
    "EHR-1\u00a0": "another space than U+0020",
    "EHR\u00a01": "another space than U+0020",
    "EHR\u30001": "another space than U+0020",
    "EHR-1\u200b": "a format character: remove U+200B",
    "\ufeffEHR-1": "a format character: remove U+FEFF",
    "EHR\u00ad-1": "a format character: remove U+00AD",
    "\u202eEHR-1": "a format character: remove U+202E",
    "EHR\u2066-1": "a format character: remove U+2066",
    "EHR-1\u2028": "a line separator",
    "EHR-1\u2029": "a paragraph separator",
    "EHR-1\ufe0f": "cannot be seen",
    "EHR\u3164": "cannot be seen",
    "EHR\u034f-1": "cannot be seen",
    "EHR-1\U000e0041": "cannot be seen",
    "EHR\ud800": "half of a character",
    "Zoe\u0308": "normal form C",
    "\u212bngstr\u00f6m": "normal form C",
}  # fmt: skip


class Named(msgspec.Struct, frozen=True):
    client_ref: ClientRef
    people: tuple[Person, ...] = ()
    by_person: dict[Person, int] = {}
    other: "Inner | None" = None


class Inner(msgspec.Struct, frozen=True):
    person: Person | msgspec.UnsetType | None = msgspec.UNSET


@pytest.mark.parametrize("text", SOUND)
def test_an_identity_may_be_in_any_script(text):
    text = unicodedata.normalize("NFC", text)
    assert identity_fault(text) is None
    assert is_identity(text)
    assert shaped(Named, {"client_ref": text}).client_ref == text


@pytest.mark.parametrize(("text", "why"), UNSOUND.items(), ids=ascii)
def test_a_twin_of_an_identity_is_refused_with_what_is_wrong(text, why):
    assert why in identity_fault(text)
    assert not is_identity(text)
    with pytest.raises(CommandInvalid) as refused:
        shaped(Named, {"client_ref": text})
    (fault,) = refused.value.faults
    assert (fault.where, fault.message) == ("client_ref", identity_fault(text))


def test_every_identity_of_a_body_is_judged_wherever_it_stands():
    body = {"client_ref": "a ", "people": ["b", "Zoe\u0308"], "by_person": {"c": 1}, "other": {"person": "d\u200b"}}
    with pytest.raises(CommandInvalid) as refused:
        shaped(Named, body)
    assert {fault.where for fault in refused.value.faults} == {"client_ref", "people[1]", "other.person"}
    assert shaped(Named, {"client_ref": "a", "other": {}}).other == Inner()
    with pytest.raises(CommandInvalid):
        shaped(Named, {"client_ref": "a", "by_person": {"Zoe\u0308": 1}})


def test_no_text_of_a_body_is_repeated():
    with pytest.raises(CommandInvalid) as refused:
        shaped(Named, {"client_ref": "Jo Doe\u200b"})
    assert "Doe" not in str(refused.value)


def test_the_pattern_that_is_published_refuses_nothing_that_is_an_identity():
    class Patterned(msgspec.Struct):
        ref: Annotated[str, Meta(pattern=msgspec.json.schema(ClientRef)["pattern"])]

    for text in SOUND:
        msgspec.convert({"ref": text}, Patterned)


@pytest.mark.parametrize("kind", [ClientRef, Person, Code, ExternalRef, Annotated[str, Meta(pattern=whole("[0-9]+"))]])
def test_no_newline_may_follow_what_a_pattern_allows(kind):
    msgspec.convert("1", kind)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("1\n", kind)


def test_what_holds_no_identity_costs_nothing():
    class Plain(msgspec.Struct):
        minutes: int
        titles: tuple[str, ...] = ()

    assert identities._of_struct(Plain) is None
    assert identities.sound(Plain(1))
