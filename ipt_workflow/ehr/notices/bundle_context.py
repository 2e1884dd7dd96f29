"""What an entry of a FHIR Bundle needs from the others: the resources that its references name by `fullUrl`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

DEPTH_MAX = 20


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
        """The name of the resource, and those of the clients whom it names."""
        resource, request = entry.get("resource"), entry.get("request")
        if not isinstance(resource, dict):
            if isinstance(request, dict):
                yield str(request.get("url"))
            return
        if resource.get("id"):
            yield f"{resource.get('resourceType')}/{resource['id']}"
        for url in references(resource):
            named = self.by_url.get(url)
            name = f"{named.get('resourceType')}/{named.get('id')}" if named else url
            if "Patient/" in name:
                yield name[name.index("Patient/") :]


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
