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

    def lane(self, entry: dict[str, Any]) -> str:
        """What an entry is about. Entries in one lane are handled in order: those of one client, or of one resource."""
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            request = entry.get("request")
            return str(request.get("url")) if isinstance(request, dict) else ""
        if resource.get("resourceType") == "Patient":
            return f"Patient/{resource.get('id')}"
        for url in references(resource):
            named = self.by_url.get(url)
            name = f"{named.get('resourceType')}/{named.get('id')}" if named else url
            if "Patient/" in name:
                return name[name.index("Patient/") :]
        return ""


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
