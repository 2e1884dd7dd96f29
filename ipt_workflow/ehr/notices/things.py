"""The things that a resource came to: each is one part of it, of one client. A visit of a client is one thing, whatever its part is called."""

from collections.abc import Iterable, Sequence

from ipt_workflow.store.notices import StoredNotice

VISITS = frozenset({"fhir.Encounter", "fhir.Appointment"})


def latest(kept: Iterable[StoredNotice]) -> list[StoredNotice]:
    """The latest kept notice of each thing of a resource."""
    return [notices[-1] for notices in _by_thing(kept)]


def left(kept: Iterable[StoredNotice]) -> list[StoredNotice]:
    """The latest notice of each thing that came to something and was not withdrawn since. A withdrawal that waits has not been made."""
    return [notices[-1] for notices in _by_thing(kept) if _is_left(notices)]


def _is_left(notices: Sequence[StoredNotice]) -> bool:
    came = False
    for each in notices:
        came = came or each.status in {"waiting", "applied"} or bool(each.about_seq)
        came = came and not (each.void and each.status != "waiting")
    return came


def _by_thing(kept: Iterable[StoredNotice]) -> Iterable[list[StoredNotice]]:
    found: dict[tuple[str, str | None], list[StoredNotice]] = {}
    for each in kept:
        part = "" if each.type in VISITS and each.client_id else each.part
        found.setdefault((part, each.client_id), []).append(each)
    return found.values()


def of(kept: Iterable[StoredNotice], part: str, client: str | None) -> Sequence[StoredNotice]:
    """The kept notices of one thing of a resource. Without a client, whose notice does not name one, the part alone counts."""
    return [each for each in kept if is_of(each, part, client)]


def is_of(kept: StoredNotice, part: str, client: str | None) -> bool:
    same_client = client is None or kept.client_id in {client, None}
    return (kept.part == part and same_client) or (kept.type in VISITS and client is not None and kept.client_id == client)
