"""Reads notifications of the Subscriptions R5 Backport for R4: Bundles that begin with the subscription's status.

Events are numbered. A missing number is a gap. The gap waits for a person, and ends if the event still comes.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Literal, get_args

import msgspec

from ipt_workflow.ehr.notices.fhir.resources import NAME, ReceivedReference
from ipt_workflow.errors import CommandInvalid, Fault

Kind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]
EVENT_MAX = 2**31 - 1
EVENTS_MAX = 1000
REFERENCE_MAX = 500
FAULTS_MAX = 20
GAP_MAX = 100  # notices of missing events; the last one covers all further events


class NotifiedEvent(msgspec.Struct, frozen=True):
    """One event: its number, and the names of the resources it is about; none if its payload is empty."""

    number: int
    focus: tuple[str, ...] = ()


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One notification. `reached` is the number of the subscription's last event; `resources` are those it contains, by name."""

    kind: Kind
    subscription: str
    reached: int
    events: tuple[NotifiedEvent, ...] = ()
    resources: dict[str, dict[str, Any]] = {}


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    valueCode: str = ""  # noqa: N815 - FHIR's own names
    valueString: str = ""  # noqa: N815
    valueReference: ReceivedReference = ReceivedReference()  # noqa: N815
    part: "tuple[Parameter, ...]" = ()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    resourceType: str  # noqa: N815
    parameter: tuple[Parameter, ...] = ()


def is_notification(bundle: dict[str, Any]) -> bool:
    """Whether a Bundle is a notification: its first entry is the subscription's status."""
    entries = bundle.get("entry")
    first = entries[0] if isinstance(entries, list) and entries else None
    status = first.get("resource") if isinstance(first, dict) else None
    return bundle.get("type") == "history" and isinstance(status, dict) and status.get("resourceType") == "Parameters"


def read(bundle: dict[str, Any]) -> Notification:
    """Raises CommandInvalid."""
    try:
        status = msgspec.convert(bundle["entry"][0]["resource"], Status)
    except (msgspec.ValidationError, RecursionError) as error:
        raise CommandInvalid(
            [Fault("Bundle.entry[0].resource", f"must be the status of a subscription, as Parameters: {str(error).lower()}")]
        ) from None
    parameters = {parameter.name: parameter for parameter in reversed(status.parameter)}
    faults: list[Fault] = []
    kind = parameters["type"].valueCode if "type" in parameters else ""
    if kind not in get_args(Kind):
        faults.append(Fault("parameter type", f"must be one of {', '.join(get_args(Kind))}"))
    subscription = parameters["subscription"].valueReference.reference if "subscription" in parameters else None
    if not subscription or len(subscription) > REFERENCE_MAX:
        faults.append(Fault("parameter subscription", f"must be a reference of at most {REFERENCE_MAX} characters"))
    reached = _number(parameters, "events-since-subscription-start", faults)
    events = [_event(each, faults) for each in status.parameter if each.name == "notification-event"]
    if len(events) > EVENTS_MAX:
        faults.append(Fault("parameter notification-event", f"must occur at most {EVENTS_MAX} times"))
    if faults:
        raise CommandInvalid(faults[:FAULTS_MAX])
    return Notification(
        kind=kind,  # type: ignore[arg-type]  # checked above
        subscription=subscription or "",
        reached=reached,
        events=tuple(events),
        resources=dict(_resources(bundle["entry"][1:])),
    )


def gaps(notification: Notification, missed: range) -> list[tuple[int, int]]:
    """The events of `missed` that a notification does not bring: each from a number to the same number. The last of GAP_MAX covers all
    further ones. However many are missing, only these are built."""
    numbers = {event.number for event in notification.events}
    listed = list(itertools.islice((number for number in missed if number not in numbers), GAP_MAX))
    last = next((number for number in reversed(missed) if number not in numbers), 0)
    return [(number, last if number == listed[-1] else number) for number in listed]


def _event(parameter: Parameter, faults: list[Fault]) -> NotifiedEvent:
    parts = {part.name: part for part in parameter.part}
    about = [parts["focus"].valueReference] if "focus" in parts else []
    return NotifiedEvent(_number(parts, "event-number", faults), tuple(each.name for each in about if each.name))


def _number(parameters: dict[str, Parameter], name: str, faults: list[Fault]) -> int:
    text = parameters[name].valueString if name in parameters else ""
    if text.isascii() and text.isdigit() and int(text[:12]) <= EVENT_MAX:
        return int(text[:12])
    faults.append(Fault(f"parameter {name}", f"must be a whole number from 0 to {EVENT_MAX}, written as a string"))
    return 0


def _resources(entries: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The resources of a notification, each with its name (`Encounter/1`)."""
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict):
            name = f"{resource.get('resourceType')}/{resource.get('id')}"
            yield (name if NAME.fullmatch(name) else "", resource)
