"""Scopes of credentials, as SMART 2 writes them: `system/Encounter.rs` lets a system read and search sessions.

A scope names a kind of resource and interactions: create, read, update, delete, search. `*` is every kind. The forms of SMART 1 mean
the same: `.read` is `.rs`, `.write` is `.cud`. Scopes narrow what the role allows, and never widen it.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

import msgspec

from ipt_workflow.errors import CommandInvalid, Fault

LETTERS = "cruds"
EVERY_KIND = "*"
SERVED = (
    "CarePlan",
    "Encounter",
    "EpisodeOfCare",
    "Observation",
    "Patient",
    "PlanDefinition",
    "Provenance",
    "QuestionnaireResponse",
)
KINDS = (
    *SERVED, "AuditEvent", "Communication", "Device", "Endpoint", "Group", "Organization", "Practitioner", "Subscription", "Task",
)  # fmt: skip
SCOPES_MAX = 30
OLD_FORMS = {"read": "rs", "write": "cud", "*": LETTERS}
_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]{1,63})\.(read|write|\*|(?=[cruds])c?r?u?d?s?)")
MUST_BE = (
    f"must be scopes such as system/*.rs or system/Encounter.r: {', '.join(LETTERS)} in this order, of * or of {', '.join(KINDS)}"
)


class Need(msgspec.Struct, frozen=True):
    """The scope that a request needs: one interaction with one kind of resource."""

    kind: str
    letter: str

    def __str__(self) -> str:
        return f"system/{self.kind}.{self.letter}"


def normal(scopes: Sequence[str], where: str = "scopes") -> tuple[str, ...]:
    """Scopes that somebody registers, in the form of SMART 2, one for each kind. Raises CommandInvalid."""
    found = [_SCOPE.fullmatch(each) for each in scopes]
    faults = [
        Fault(f"{where}[{index}]", MUST_BE)
        for index, match in enumerate(found)
        if match is None or match[1] not in {EVERY_KIND, *KINDS}
    ]
    if not found or len(found) > SCOPES_MAX:
        faults.append(Fault(where, f"must be 1 to {SCOPES_MAX} scopes"))
    if faults:
        raise CommandInvalid(faults)
    return _written(_merged(scopes))


def granted(requested: str, registered: Iterable[str]) -> tuple[str, ...]:
    """What a system gets of the scopes that it asks for, which spaces separate. Those of other forms are left out."""
    known = _merged(registered)
    given: dict[str, str] = {}
    for kind, letters in _merged(requested.split()).items():
        of = known if kind == EVERY_KIND else {kind: known.get(kind, "") + known.get(EVERY_KIND, "")}
        for each, most in of.items():
            given[each] = given.get(each, "") + "".join(letter for letter in letters if letter in most)
    return _written(given)


@cache
def allows(scopes: tuple[str, ...], need: Need) -> bool:
    """Whether the scopes cover what a request needs. Only those for every kind cover a need of every kind."""
    letters = _merged(scopes)
    return need.letter in letters.get(EVERY_KIND, "") or need.letter in letters.get(need.kind, "")


def _merged(scopes: Iterable[str]) -> dict[str, str]:
    """The interactions by kind. Scopes of other forms are left out."""
    letters: dict[str, str] = {}
    for match in map(_SCOPE.fullmatch, scopes):
        if match:
            letters[match[1]] = letters.get(match[1], "") + OLD_FORMS.get(match[2], match[2])
    return letters


def _written(letters: dict[str, str]) -> tuple[str, ...]:
    in_order = {kind: "".join(each for each in LETTERS if each in known) for kind, known in letters.items()}
    return tuple(f"system/{kind}.{known}" for kind, known in in_order.items() if known)
