"""What an entry of a FHIR Bundle needs from the others: the resources that its references name by `fullUrl`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.fhir.references import References
from ipt_workflow.ehr.notices.fhir.resources import ReceivedReference

DEPTH_MAX = 20
PATIENT = "Patient"
CLIENTS = frozenset({"subject", "patient"})  # fields whose references are to Patients, although they may not say so
IDENTIFIER = "identifier {}"


class BundleContext(msgspec.Struct, frozen=True):
    """The resources of a Bundle by `fullUrl`. With `room`, its entries are kept even if the inbox is full."""

    by_url: Mapping[str, dict[str, Any]] = {}
    room: bool = False

    @classmethod
    def of(cls, entries: Sequence[dict[str, Any]], *, room: bool) -> "BundleContext":
        found = {
            each["fullUrl"]: each["resource"]
            for each in entries
            if isinstance(each.get("fullUrl"), str) and isinstance(each.get("resource"), dict)
        }
        return cls(found, room)

    def lanes(self, entries: Sequence[dict[str, Any]]) -> list[list[int]]:
        """The numbers of the entries, by what they are about. Entries in one lane are handled in order.

        They are about one client or one resource. A lane that is about several joins theirs.
        """
        lane_of: dict[str, list[int]] = {}
        for number, entry in enumerate(entries):
            names = list(dict.fromkeys(self._about(entry))) or [""]
            joined = {id(lane): lane for name in names if (lane := lane_of.get(name))}
            lane = sorted([number, *(each for one in joined.values() for each in one)])
            moved = [name for name, one in lane_of.items() if id(one) in joined] if len(joined) > 1 else []
            if len(joined) == 1:
                (lane,) = joined.values()
                lane.append(number)
            lane_of |= dict.fromkeys([*names, *moved], lane)
        return list({id(lane): lane for lane in lane_of.values()}.values())

    def _about(self, entry: dict[str, Any]) -> Iterator[str]:
        """The name of the resource, and the names and identifiers of the clients whom it is about."""
        resource, request = entry.get("resource"), entry.get("request")
        if not isinstance(resource, dict):
            if isinstance(request, dict):
                yield _bare(str(request.get("url")))
            return
        if resource.get("id"):
            yield f"{resource.get('resourceType')}/{resource['id']}"
        yield from self._clients(resource)

    def _clients(self, value: Any, field: str = "", depth: int = 0) -> Iterator[str]:
        """The names and identifiers of the Patients that are in a value, or that it refers to."""
        if depth > DEPTH_MAX:
            return
        if isinstance(value, list):
            for each in value:
                yield from self._clients(each, field, depth + 1)
        elif isinstance(value, dict):
            yield from self._referred(value, field, depth)
            if value.get("resourceType") == PATIENT:
                yield from _identifiers(value)
            for name, each in value.items():
                yield from self._clients(each, name, depth + 1)

    def _referred(self, value: dict[str, Any], field: str, depth: int) -> Iterator[str]:
        """The client whom a value refers to as a Reference; the members, if it refers to a Group of the Bundle."""
        url = value.get("reference")
        url = url if isinstance(url, str) else ""
        named = self.by_url.get(url.partition("/_history/")[0])
        if named and named.get("resourceType") == PATIENT:
            yield from ([f"{PATIENT}/{named['id']}"] if named.get("id") else [])
            yield from _identifiers(named)
        elif named and named.get("resourceType") == "Group":
            yield from self._clients(named.get("member"), "member", depth + 1)
        elif not named and (_bare(url).startswith(f"{PATIENT}/") or (url and field in CLIENTS)):
            yield _bare(url)
        target = References({}).target(ReceivedReference(reference=url))
        if target.kind == PATIENT:
            yield from map(IDENTIFIER.format, target.identifiers)
        if value.get("type") == PATIENT or (field in CLIENTS and "resourceType" not in value):
            yield from _identifiers(value)


def _bare(url: str) -> str:
    """`Encounter/1` without the server's address and the version; another form as it is."""
    return ReceivedReference(reference=url).name or url


def _identifiers(value: dict[str, Any]) -> Iterator[str]:
    found = value.get("identifier")
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict) and isinstance(each.get("value"), str):
            yield IDENTIFIER.format(each["value"])


def references(value: Any, depth: int = 0) -> Iterator[str]:
    """Every `reference` in a resource."""
    if depth > DEPTH_MAX:
        return
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "reference" and isinstance(each, str):
                yield each
            else:
                yield from references(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from references(each, depth + 1)
