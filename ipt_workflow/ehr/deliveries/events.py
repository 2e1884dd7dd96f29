"""The types of webhook events, their shapes, and which subscription receives which.

Events are thin by default: ids, the sequence, the chain's head, and nothing clinical. The receiver reads what happened over the API,
and the audit log records that. The names of triggers, refusals and kinds of attention can disclose clinical facts. So only
subscriptions with the scope `clinical` receive them. No event holds free text.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.store import consents
from ipt_workflow.store.events import StoredEvent
from ipt_workflow.values.types import OF_CARE

THIN, CLINICAL = "thin", "clinical"
CHANGED, REFUSED, ATTENTION = "course.changed", "course.refused", "course.attention"
DISABLED, PING = "subscription.disabled", "subscription.ping"
WITHHELD, RESUMED = "course.withheld", "course.resumed"
EMERGENCY = "access.emergency"
NAMED, EVERY_NAME = "course.", "course.*"
DEFAULT_TYPES = (CHANGED, ATTENTION, EMERGENCY, DISABLED)
SHARING = {consents.WITHHELD: WITHHELD, consents.RESUMED: RESUMED}  # types by the kind of their events
ID_PREFIX = "evt_"


class CourseChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A transition was recorded. `sequence` is its entry's seq: 1, 2, 3 … in every course. `head` is the entry's hash.

    `origin` is where it came from: `api`, `pages`, `cli`, or the name of the EHR system that fired it.
    """

    course: str
    sequence: int
    head: str
    entry: str
    origin: str


class CourseTransition(CourseChanged, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A transition was recorded: `course.changed` with the trigger's name and both states. Needs the scope `clinical`."""

    trigger: str
    from_: str | None
    to: str
    occurred_at: dt.datetime


class CourseRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Rules refused a trigger. A refusal is no entry and has no sequence. Needs the scope `clinical`."""

    course: str
    refusal: str
    trigger: str
    rules: tuple[str, ...]


class CourseAttention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A course begins to need attention. Only the scope `clinical` receives `kind`: a risk is a clinical fact."""

    course: str
    kind: str | None = None


class EmergencyStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody took emergency access to the courses of a client: one event for each course. `access` is its id, for reading it."""

    course: str
    access: str


class CourseWithheld(msgspec.Struct, frozen=True, kw_only=True):
    """Consent to share a course was withdrawn: its further events are withheld. Sent with any type about courses."""

    course: str


class CourseResumed(msgspec.Struct, frozen=True, kw_only=True):
    """Consent to share a course was given again: its events are sent again. Sent with any type about courses."""

    course: str


class SubscriptionDisabled(msgspec.Struct, frozen=True, kw_only=True):
    """Another subscription of the organisation was disabled: `gone` (it answered 410) or `failing` (it failed for too long)."""

    subscription: str
    reason: str


class SubscriptionPing(msgspec.Struct, frozen=True, kw_only=True):
    """An administrator requested this event to test the subscription."""

    subscription: str


Data = (
    CourseChanged
    | CourseTransition
    | CourseRefused
    | CourseAttention
    | EmergencyStarted
    | CourseWithheld
    | CourseResumed
    | SubscriptionDisabled
    | SubscriptionPing
)


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a delivery. `data` has the shape of its type. `timestamp` is when the event happened, not when it was sent."""

    type: str
    timestamp: dt.datetime
    data: Any


class FeedEvent(WebhookEvent, frozen=True, kw_only=True):
    """An event in the feed. `id` is its `webhook-id` when it is delivered."""

    id: str


SHAPES: dict[str, type[msgspec.Struct]] = {
    CHANGED: CourseChanged,
    REFUSED: CourseRefused,
    ATTENTION: CourseAttention,
    EMERGENCY: EmergencyStarted,
    WITHHELD: CourseWithheld,
    RESUMED: CourseResumed,
    DISABLED: SubscriptionDisabled,
    PING: SubscriptionPing,
}
CLINICAL_TYPES = frozenset({REFUSED, EVERY_NAME})


def webhook_id(event_id: str) -> str:
    return ID_PREFIX + event_id


def fault_in_type(name: str, scope: str) -> str | None:
    """Why a subscription cannot have this type; None if it can."""
    trigger = name.removeprefix(NAMED) if name.startswith(NAMED) else ""
    named = trigger in triggers.BY_NAME or trigger.startswith(triggers.BEGIN_PREFIX)
    others = (CHANGED, REFUSED, ATTENTION, EMERGENCY, WITHHELD, RESUMED, DISABLED, EVERY_NAME)
    if name not in others and not named:
        return f"must be {', '.join(others)}, or `course.` with a trigger's name"
    if scope != CLINICAL and (named or name in CLINICAL_TYPES):
        return f"needs the scope {CLINICAL}, because a name can disclose clinical facts"
    return None


def type_for(kind: str, trigger: str | None, types: Sequence[str], scope: str) -> str | None:
    """The type under which a subscription receives an event; None if it does not. An entry comes once, by name if possible.

    A subscription that receives anything about courses also receives whether they are shared: else it could not tell silence from loss.
    """
    clinical = scope == CLINICAL
    if kind == "entry":
        named = f"{NAMED}{trigger}"
        if clinical and (named in types or EVERY_NAME in types):
            return named
        return CHANGED if CHANGED in types else None
    if kind == "refusal":
        return REFUSED if clinical and REFUSED in types else None
    if kind == "ping":
        return PING
    if kind in SHARING:
        return SHARING[kind] if any(name.startswith((NAMED, EMERGENCY)) for name in types) else None
    name = {"attention": ATTENTION, "emergency": EMERGENCY, "disabled": DISABLED}[kind]
    return name if name in types else None


def may_go_out(event: StoredEvent, purpose: str) -> bool:
    """Whether an event may be shown to others for a purpose, by what its course's client decided. That sharing ended always is, for care."""
    return purpose in event.sharing.open_to or (event.kind in SHARING and purpose in OF_CARE)


def render(event: StoredEvent, types: Sequence[str], scope: str) -> WebhookEvent | None:
    """The event that a subscription with these types and this scope receives; None if it receives none."""
    name = type_for(event.kind, event.trigger, types, scope)
    return rendered(event, name, scope) if name else None


def rendered(event: StoredEvent, name: str, scope: str) -> WebhookEvent | None:
    """The event under the type `name`; None if its entry is gone."""
    data = _data(event, name, scope)
    return WebhookEvent(type=name, timestamp=event.created_at, data=data) if data else None


def _data(event: StoredEvent, name: str, scope: str) -> Data | None:
    course, about = event.course or "", event.subscription or ""
    if event.kind == "entry":
        return _transition(event, name)
    if event.kind == "refusal":
        return CourseRefused(course=course, refusal=event.id, trigger=event.refused or "", rules=event.rules)
    if event.kind == "attention":
        return CourseAttention(course=course, kind=event.detail if scope == CLINICAL else None)
    if event.kind == "emergency":
        return EmergencyStarted(course=course, access=event.detail or "")
    if event.kind == consents.WITHHELD:
        return CourseWithheld(course=course)
    if event.kind == consents.RESUMED:
        return CourseResumed(course=course)
    if event.kind == "disabled":
        return SubscriptionDisabled(subscription=about, reason=event.detail or "")
    return SubscriptionPing(subscription=about)


def _transition(event: StoredEvent, name: str) -> Data | None:
    if event.entry is None:
        return None
    written = event.entry.written
    changed = CourseChanged(
        course=written.course,
        sequence=written.seq,
        head=event.entry.hash,
        entry=written.id,
        origin=written.actor.person if written.actor.role == "ehr" else written.actor.via,
    )
    if name == CHANGED:
        return changed
    return CourseTransition(
        **msgspec.structs.asdict(changed),
        trigger=written.trigger,
        from_=written.from_,
        to=written.to,
        occurred_at=written.occurred_at,
    )


def example(name: str) -> WebhookEvent:
    """One event of each type, for the documentation."""
    at = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
    course, subscription = "0197c8f2-7d3a-7c1e-9f60-2f5b6f0c1a11", "0197c8f2-9b1c-7f44-8a2d-0a4d6f1e2b33"
    thin = {
        "course": course,
        "sequence": 8,
        "head": "5f1d7a84db00d2fce00b31a7fc73224f9d8f2fd9e8a6c0e8ff0a4dcd7d1e6b0c",
        "entry": "0197c8f3-10aa-7b02-b1c4-3d9e5a7f6c55",
        "origin": "api",
    }
    fixed: dict[str, dict[str, Any]] = {
        CHANGED: thin,
        REFUSED: {
            "course": course,
            "refusal": "0197c8f3-2244-7d10-a0b1-6c2e8f9d0e77",
            "trigger": "begin_middle",
            "rules": ("sick_role_resolved",),
        },
        ATTENTION: {"course": course, "kind": "overdue"},
        EMERGENCY: {"course": course, "access": "0197c8f4-51b2-7e09-a3d4-7b1c9e2f4d88"},
        WITHHELD: {"course": course},
        RESUMED: {"course": course},
        DISABLED: {"subscription": subscription, "reason": "failing"},
        PING: {"subscription": subscription},
    }
    trigger = name.removeprefix(NAMED)
    data = fixed.get(name, {**thin, "trigger": trigger, "from": "initial", "to": "initial", "occurred_at": at})
    return WebhookEvent(type=name, timestamp=at, data=msgspec.convert(data, shape(name)))


def shape(name: str) -> type[msgspec.Struct]:
    """The Struct of a type's data."""
    return SHAPES.get(name, CourseTransition)
