"""Faults in words: all at once, in the words of the document, and without a value of a body."""

import msgspec
import pytest

from ipt_workflow.values.faults import BODY, FILE, Wording, error_faults, schema_errors, schema_faults


class Visit(msgspec.Struct, forbid_unknown_fields=True):
    minutes: int


class Document(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    visits: tuple[Visit, ...] = ()
    visit: Visit | None = None
    scores: dict[str, int | str] = {}


FAULTY = {"title": 5, "visits": {}, "visit": {"minutes": "fifty", "hour": 1}, "scores": {"Jo Doe": [1]}}


def faults(value: object, wording: Wording) -> dict[str, str]:
    found = [fault for error in schema_errors(Document, value) for fault in error_faults(error, "", wording)]
    return {fault.where: fault.message for fault in found}


def test_a_body_is_described_in_the_words_of_json() -> None:
    assert faults(FAULTY, BODY) == {
        "title": "must be a string",
        "visits": "must be an array",
        "visit.minutes": "must be a whole number",
        "visit.hour": "is not known; known are minutes",
        "scores.*": "must be a whole number or a string",
    }


def test_a_file_is_described_in_the_words_of_toml() -> None:
    assert faults(FAULTY, FILE) == {
        "title": "must be a text",
        "visits": "must be a list",
        "visit.minutes": "must be a whole number",
        "visit.hour": "is not known; known are minutes",
        "scores.Jo Doe": "must be a whole number or a text",
    }


def test_a_file_with_a_misspelt_key_is_told_the_nearest_one() -> None:
    assert faults({"titel": "x", "title": "x"}, FILE) == {"titel": "is not known; did you mean title?"}


def test_a_key_that_may_name_a_client_is_not_repeated_from_a_body() -> None:
    assert "Jo Doe" not in str(schema_faults(Document, FAULTY, "data", ""))


def test_what_the_decoder_accepts_has_no_errors() -> None:
    assert schema_errors(Document, {"title": "x"}) == []


@pytest.mark.parametrize("value", [[], "x", None])
def test_a_value_that_is_no_object_at_all_has_a_fault_at_its_root(value: object) -> None:
    assert [(fault.where, fault.message) for fault in schema_faults(Document, value, "data", "")] == [("data", "must be an object")]
