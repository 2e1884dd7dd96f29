"""References between FHIR resources: by name, address, version, `contained`, identifier, or the `fullUrl` of a Bundle's entry."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.fhir.resources import ReceivedReference
from ipt_workflow.values.identities import is_identity

_URN = re.compile(r"urn:uuid:(?P<id>[0-9a-fA-F-]{36})")
_CONDITIONAL = re.compile(r"(?:.*/)?(?P<type>[A-Z][A-Za-z]{1,39})\?identifier=(?:[^|&]*\|)?(?P<value>[^|&]+)")
DEPTH_MAX = 12  # references lie in the upper levels of a resource
MEMBERS_MAX = 100  # of a Group; the largest group here is far smaller


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference names. `kind` is empty if the message does not give it; `contained` is the resource inside the message."""

    kind: str = ""
    id: str | None = None
    identifiers: tuple[str, ...] = ()
    contained: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """`Patient/2`, or the identifier. It is the same in every version of the message."""
        return f"{self.kind or 'Patient'}/{self.id}" if self.id else next(iter(self.identifiers), "")


class References:
    """Resolves the references of one resource."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        contained = resource.get("contained")
        self._contained = {
            f"#{each['id']}": each
            for each in (contained if isinstance(contained, list) else ())
            if isinstance(each, dict) and isinstance(each.get("id"), str)
        }

    def target(self, reference: ReceivedReference) -> Target:
        text = reference.reference or ""
        given = (reference.identifier.value,) if reference.identifier and reference.identifier.value else ()
        inside = self._contained.get(text)
        if inside is not None:
            return Target(kind=str(inside.get("resourceType", "")), identifiers=_identifiers(inside) or given, contained=inside)
        urn, conditional = _URN.fullmatch(text), _CONDITIONAL.fullmatch(text)
        if urn:
            return Target(kind=reference.type, id=urn["id"], identifiers=given)
        if conditional:
            return Target(kind=conditional["type"], identifiers=(conditional["value"],))
        kind, _, own = (reference.name or "").partition("/")
        return Target(kind=kind or reference.type, id=own or None, identifiers=given)

    def clients(self, references: Iterable[ReceivedReference]) -> list[Target]:
        """The Patients among these, each once. A Group inside the message counts as its members; another Group is kept as it is."""
        found: dict[str, Target] = {}
        for reference in references:
            target = self.target(reference)
            if target.kind == "Group" and target.contained:
                found |= {each.name: each for each in self._members(target.contained) if each.name}
            elif target.kind in {"Patient", "Group"}:
                found.setdefault(target.name, target)
        return list(found.values())

    def _members(self, group: Mapping[str, Any]) -> Iterator[Target]:
        members = group.get("member")
        for member in members[:MEMBERS_MAX] if isinstance(members, list) else ():
            entity = lenient(member.get("entity")) if isinstance(member, dict) and member.get("inactive") is not True else None
            target = self.target(entity) if entity else None
            if target and target.kind == "Patient":
                yield target

    def people(self, references: Iterable[ReceivedReference | None]) -> tuple[str, ...]:
        """The ids and identifiers of the practitioners among these. A role inside the message counts as its practitioner."""
        found: dict[str, None] = {}
        for reference in references:
            target = self.target(reference) if reference else None
            if target and target.kind == "PractitionerRole" and target.contained:
                own = lenient(target.contained.get("practitioner"))
                target = self.target(own) if own else None
            if target and target.kind == "Practitioner":
                found |= dict.fromkeys(each for each in (target.id, *target.identifiers) if each and is_identity(each))
        return tuple(found)


def lenient(value: Any) -> ReceivedReference | None:
    """A reference from JSON; None if it is malformed."""
    try:
        return msgspec.convert(value, ReceivedReference)
    except msgspec.ValidationError:
        return None


def resolved(resource: dict[str, Any], entries: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The resource with its references to entries of its Bundle replaced, so that it can be read alone. `entries` is by `fullUrl`.

    A reference becomes the name of the resource, with its first identifier. A Group is put into the resource, with its members alone.
    """
    groups: list[dict[str, Any]] = []
    found: dict[str, Any] = _replaced(resource, entries, groups, 0)
    if not groups:
        return found
    contained = found.get("contained")
    return {**found, "contained": [*(contained if isinstance(contained, list) else ()), *groups]}


def _replaced(value: Any, entries: Mapping[str, dict[str, Any]], groups: list[dict[str, Any]], depth: int) -> Any:
    if depth > DEPTH_MAX:
        return value
    if isinstance(value, list):
        return [_replaced(each, entries, groups, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    named = value.get("reference")
    entry = entries.get(named.partition("/_history/")[0]) if isinstance(named, str) else None
    if entry is not None:
        return {**value, **_reference_to(entry, entries, groups, depth)}
    return {name: _replaced(each, entries, groups, depth + 1) for name, each in value.items()}


def _reference_to(
    entry: dict[str, Any], entries: Mapping[str, dict[str, Any]], groups: list[dict[str, Any]], depth: int
) -> dict[str, Any]:
    kind, own = str(entry.get("resourceType", "")), entry.get("id")
    if kind == "PractitionerRole" and isinstance(entry.get("practitioner"), dict):
        practitioner: dict[str, Any] = _replaced(entry["practitioner"], entries, groups, depth + 1)
        return practitioner
    if kind == "Group":
        inside = f"group-{len(groups) + 1}"
        members = _replaced(entry.get("member"), entries, groups, depth + 1)
        groups.append({"resourceType": "Group", "id": inside, "member": members})
        return {"reference": f"#{inside}"}
    named = {"reference": f"{kind}/{own}"} if isinstance(own, str) and own else {"reference": None, "type": kind}
    identifiers = _identifiers(entry)
    return {**named, **({"identifier": {"value": identifiers[0]}} if identifiers else {})}


def _identifiers(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of a resource's identifiers that are still in use."""
    found = resource.get("identifier")
    return tuple(
        each["value"]
        for each in (found if isinstance(found, list) else (found,))
        if isinstance(each, dict) and isinstance(each.get("value"), str) and each["value"] and each.get("use") != "old"
    )
