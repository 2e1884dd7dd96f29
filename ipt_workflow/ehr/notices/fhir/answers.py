"""Finds the answers to coded questions anywhere in a FHIR resource, and reads each answer as a number.

A question may be the item of a form at any depth, below an answer as well, an Observation, its component, or a resource inside another.
Everything is read as it came: no field that is malformed hides an answer. Text is never read as a number.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.fhir.findings import ERROR

# Tuples: what is sent may be a list, which no set can look for.
MEASURES = ("QuestionnaireResponse", "Observation")
WEIGHTS = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",  # its name in R5
)
NUMBERS = {"valueInteger", "valueDecimal", "valueUnsignedInt", "valuePositiveInt"}
ABSENT = "dataAbsentReason"
_OIDS = {"urn:oid:2.16.840.1.113883.6.1": "http://loinc.org", "urn:oid:2.16.840.1.113883.6.96": "http://snomed.info/sct"}
_VALUE = re.compile(r"_?value[A-Z]\w*")
_LOINC = re.compile(r"(?<!\d)\d{1,7}-\d\Z")
_WORD = re.compile(r"[A-Za-z0-9-]+")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question with its answers as they came. `codes` are without their systems. `form`: it is an item of a form."""

    codes: frozenset[str]
    answers: tuple[Any, ...]
    form: bool


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as numbers: one, or several that contradict each other. `absent`: the sender says that there is no answer."""

    numbers: frozenset[float] = frozenset()
    unreadable: bool = False
    absent: bool = False


def questions(resource: Mapping[str, Any]) -> list[Question]:
    """Every question of a resource that has a code or a `linkId`."""
    found: list[Question] = []
    known: dict[str, frozenset[str]] = {}
    todo: list[tuple[str, Any]] = [("", resource)]
    while todo:  # no recursion: a resource may be as deep as JSON may be
        name, value = todo.pop()
        if isinstance(value, list):
            todo += [(name, each) for each in reversed(value)]
        elif isinstance(value, dict):
            if value.get("resourceType") == "Questionnaire":
                known |= _definitions(value)
            elif value is resource or value.get("status") != ERROR or "resourceType" not in value:
                found += _question(name, value)
                todo += [(key, each) for key, each in reversed(value.items()) if isinstance(each, dict | list)]
    return [_defined(each, known) for each in found]


def _question(name: str, value: dict[str, Any]) -> Iterator[Question]:
    """The value as a question, if it is one."""
    link = value.get("linkId")
    form = isinstance(link, str) or "answer" in value
    if not form and "code" not in value:
        return
    own = any("value" in each[:6] and _VALUE.fullmatch(each) for each in value) or ABSENT in value
    measured = not form and (name == "component" or value.get("resourceType") == "Observation")
    if not (form or measured or own):
        return
    sent = value.get("answer")
    answers = list(sent) if isinstance(sent, list) else [] if sent is None else [sent]
    if form and value.get("modifierExtension"):
        answers = [None for _ in answers]  # it may change what the answers mean
    codes = {text for coding in codings(value.get("code")) for text in (coding["code"].strip(), *_LOINC.findall(coding["code"]))}
    if form:
        codes |= _of_link(link) | _of_definition(value.get("definition"))
        codes |= {coding["code"] for each in _listed(value.get("extension")) for coding in _extension_codings(each)}
    if codes:
        yield Question(codes=frozenset(codes), answers=(*answers, *([value] if own or measured else ())), form=form)


def codings(value: Any) -> Iterator[dict[str, Any]]:
    """The Codings of a `code` in any form: a text, a Coding, a CodeableConcept, a CodeableReference, or a list of them."""
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, list):
            todo += each
        elif isinstance(each, dict):
            if isinstance(each.get("code"), str):
                yield each
            todo += [each[name] for name in ("coding", "concept") if name in each]
        elif isinstance(each, str):
            yield {"code": each}


def _extension_codings(extension: Any) -> Iterator[dict[str, Any]]:
    if isinstance(extension, dict):
        yield from codings([extension.get("valueCoding"), extension.get("valueCodeableConcept")])


def _of_link(link: Any) -> set[str]:
    """The code that a `linkId` ends with: `/44249-1/44260-8`, `phq9.44260-8`, `LOINC:44260-8`."""
    if not isinstance(link, str):
        return set()
    return {*_WORD.findall(link)[-1:], *_LOINC.findall(link.strip()), link}


def _of_definition(definition: Any) -> set[str]:
    """The words of a `definition`: the code may come before a version or after a `#`."""
    return set(_WORD.findall(definition)) if isinstance(definition, str) else set()


def _definitions(questionnaire: dict[str, Any]) -> dict[str, frozenset[str]]:
    """The codes of the items of a Questionnaire that the message contains, by `linkId`."""
    found, todo = {}, [questionnaire.get("item")]
    while todo:
        each = todo.pop()
        if isinstance(each, list):
            todo += each
        elif isinstance(each, dict):
            if isinstance(each.get("linkId"), str):
                found[each["linkId"]] = frozenset(coding["code"] for coding in codings(each.get("code")))
            todo.append(each.get("item"))
    return found


def _defined(question: Question, known: Mapping[str, frozenset[str]]) -> Question:
    more = frozenset(code for link in question.codes if link in known for code in known[link]) if known and question.form else None
    return msgspec.structs.replace(question, codes=question.codes | more) if more else question


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# Answers as numbers


def reply(answers: Iterable[Any], scores: Mapping[str, int], *, decimals: bool = False) -> Reply:
    """All answers to one question together. `scores` is by the answer's code, as `system|code`.

    Numbers with `decimals` can be read only where they are allowed.
    """
    numbers: set[float] = set()
    unreadable = absent = False
    for answer in answers:
        found = _number(answer, scores, decimals)
        if found is None:
            unreadable = True
        elif found:
            numbers |= found
        else:
            absent = True
    return Reply(numbers=frozenset(numbers), unreadable=unreadable, absent=absent)


def _number(answer: Any, scores: Mapping[str, int], decimals: bool) -> set[float] | None:
    """The numbers that an answer gives; empty if it gives none, None if it cannot be read."""
    if not isinstance(answer, dict) or answer.get("modifierExtension"):
        return None
    values = {name: value for name, value in answer.items() if _VALUE.fullmatch(name) and name.lstrip("_") == name}
    if not values:
        return set()
    if ABSENT in answer:
        return None
    read = [_numbers_of(name, value, scores, decimals) for name, value in values.items()]
    return None if any(not each for each in read) else {number for each in read for number in each}


def _numbers_of(name: str, value: Any, scores: Mapping[str, int], decimals: bool) -> set[float]:
    if name in NUMBERS:
        return _read(value, decimals)
    if name == "valueQuantity":
        return _read(value.get("value"), decimals) if isinstance(value, dict) and "comparator" not in value else set()
    if name in {"valueCoding", "valueCodeableConcept"} and isinstance(value, dict):
        return {number for coding in codings(value) for number in (*_by_code(coding, scores), *_weights(coding))}
    return set()


def _by_code(coding: Mapping[str, Any], scores: Mapping[str, int]) -> Iterator[int]:
    """The score of a declared code. Its system may be missing, since the code of an answer is unique."""
    system, code = coding.get("system"), coding["code"]
    known = _OIDS.get(system, system) if isinstance(system, str) else None
    for key, score in scores.items():
        declared, _, bare = key.rpartition("|")
        if code == bare and (system is None or declared == known):
            yield score


def _weights(coding: Mapping[str, Any]) -> Iterator[float]:
    for extension in _listed(coding.get("extension")):
        if isinstance(extension, dict) and extension.get("url") in WEIGHTS:
            for name in NUMBERS.intersection(extension):
                yield from _read(extension[name])


def _read(number: Any, decimals: bool = False) -> set[float]:
    """A number of JSON; empty if it is none that may be read. A whole one, which may be printed as `2.0`, is kept as a whole one."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 100_000:
        return set()
    if number == int(number):
        return {int(number)}
    return {number} if decimals else set()
