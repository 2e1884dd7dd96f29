"""Whether a message of nobody known names a client. Such a message could not be read, or is about several people."""

import re

import msgspec

DISTINCT = 5  # a shorter reference could be part of anything, so it counts only where a reference is expected


def names(body: bytes, ref: str, prefix: str = "") -> bool:
    """Whether a body names the client with this reference. `prefix` goes before the id of a FHIR Patient in references of its source."""
    text = _text(body)
    exact = re.escape(ref)
    if re.search(rf'"client_ref"\s*:\s*"{exact}"', text):
        return True
    if len(ref) >= DISTINCT and re.search(rf"(?<![\w.-]){exact}(?![\w.-])", text):
        return True
    if not ref.startswith(prefix) or ref == prefix:
        return False
    patient = re.escape(ref.removeprefix(prefix))
    if re.search(rf"(?<!\w)Patient/{patient}(?![\w.-])", text):
        return True
    return bool(re.search(r'"resourceType"\s*:\s*"Patient"', text) and re.search(rf'"id"\s*:\s*"{patient}"', text))


def _text(body: bytes) -> str:
    """The body as text. In JSON, a character has several forms; here it has one."""
    try:
        return msgspec.json.encode(msgspec.json.decode(body)).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
