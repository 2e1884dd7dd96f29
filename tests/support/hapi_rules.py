"""What HAPI FHIR's client makes of an answer, by the documented behaviour of its release 6 (Java cannot be installed for these tests).

- `BaseClient.invokeClient`: every status from 200 to 299 is a success. Any other raises, with the text of an OperationOutcome if the
  content type is FHIR's; a subscription then sends the message again. 204 has no body.
- `EncodingEnum.forContentType`: application/fhir+json and application/json+fhir are FHIR, and so, leniently, are application/json and text/json.
- `MethodUtil.process2xxResponse` (update, create, delete): a body with another content type is ignored, and so is an empty body.
  Otherwise it is parsed, and becomes the outcome's OperationOutcome, or its resource.
- `BaseClient.ResourceResponseHandler` (transaction): 204 is nothing. Any other content type raises, and so does an empty body or another
  type of resource than a Bundle.
- `JsonParser`: a body without `resourceType` raises DataFormatException. Under the strict error handler, so do an unknown element, an empty
  list or object, and a value of the wrong JSON type. A code outside a required value set raises under each.
- FHIR R4, `Bundle.entry.response.status`: begins with the three digits of an HTTP status.
"""

import json
import re
from typing import Any

import httpx

FHIR = frozenset({"application/fhir+json", "application/json+fhir", "application/json", "text/json"})
SEVERITIES = frozenset({"fatal", "error", "warning", "information"})
CODES = frozenset({
    "invalid", "structure", "required", "value", "invariant", "security", "login", "unknown", "expired", "forbidden",
    "suppressed", "processing", "not-supported", "duplicate", "multiple-matches", "not-found", "deleted", "too-long",
    "code-invalid", "extension", "too-costly", "business-rule", "conflict", "transient", "lock-error", "no-store",
    "exception", "timeout", "incomplete", "throttled", "informational",
})  # fmt: skip
ELEMENTS: dict[str, dict[str, str | None]] = {  # the type of each known element: None for a string, `*…` for a list
    "OperationOutcome": {"resourceType": None, "issue": "*issue"},
    "issue": {
        "extension": "*extension",
        "severity": None,
        "code": None,
        "details": "concept",
        "diagnostics": None,
        "expression": "*",
    },
    "extension": {"url": None, "valueString": None},
    "concept": {"coding": "*coding", "text": None},
    "coding": {"system": None, "code": None, "display": None},
    "Bundle": {"resourceType": None, "type": None, "entry": "*entry"},
    "entry": {"resource": "any", "response": "response"},
    "response": {"status": None, "outcome": "OperationOutcome"},
}


class DataFormatException(Exception):
    """The client cannot read the answer. The message is sent again."""


class ServerResponseException(Exception):
    """The status says that the message was not taken. The message is sent again."""


def outcome(answer: httpx.Response) -> dict[str, Any] | None:
    """What update, create and delete give back: an OperationOutcome, or a resource; None without a body."""
    kind = _checked(answer)
    if answer.status_code == 204 or kind not in FHIR or not answer.content:
        return None
    return parsed(answer.text)


def bundle(answer: httpx.Response) -> dict[str, Any] | None:
    """What a transaction gives back."""
    kind = _checked(answer)
    if answer.status_code == 204:
        return None
    if kind not in FHIR:
        raise DataFormatException(f"content type {kind}")
    read = parsed(answer.text)
    if read["resourceType"] != "Bundle":
        raise DataFormatException("not a Bundle")
    return read


def _checked(answer: httpx.Response) -> str:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    if not 200 <= answer.status_code <= 299:
        said = parsed(answer.text)["issue"][0]["diagnostics"] if kind in FHIR else ""
        raise ServerResponseException(f"HTTP {answer.status_code}: {said}")
    return kind


def parsed(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataFormatException(str(error)) from None
    if not isinstance(read, dict) or not isinstance(read.get("resourceType"), str):
        raise DataFormatException("missing required element 'resourceType'")
    if read["resourceType"] in ELEMENTS:
        _check(read, read["resourceType"], read["resourceType"])
    return read


def _check(value: Any, kind: str, where: str) -> None:
    if kind == "any":
        return
    if not isinstance(value, dict) or not value:
        raise DataFormatException(f"{where} must be an object with elements")
    for name, each in value.items():
        if name not in ELEMENTS[kind]:
            raise DataFormatException(f"unknown element {where}.{name}")
        _check_element(each, ELEMENTS[kind][name], f"{where}.{name}")
    if kind == "issue" and not (value.get("severity") in SEVERITIES and value.get("code") in CODES):
        raise DataFormatException(f"{where} has an unknown code")
    if kind == "response" and not re.match(r"[1-5]\d\d", str(value.get("status"))):
        raise DataFormatException(f"{where}.status must begin with three digits")
    if kind == "entry" and "response" not in value:
        raise DataFormatException(f"{where}.response is missing")


def _check_element(value: Any, kind: str | None, where: str) -> None:
    if kind is None:
        if not isinstance(value, str) or not value:
            raise DataFormatException(f"{where} must be a string")
    elif kind.startswith("*"):
        if not isinstance(value, list) or not value:
            raise DataFormatException(f"{where} must be a list with elements")
        for number, each in enumerate(value):
            if kind == "*":
                _check_element(each, None, where)
            else:
                _check(each, kind[1:], f"{where}[{number}]")
    else:
        _check(value, kind, where)
