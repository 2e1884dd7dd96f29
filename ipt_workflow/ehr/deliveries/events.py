"""What subscribers are told: the types of events, their shapes, and who gets which.

Thin by default: ids, the sequence, the chain's head, and nothing clinical; what happened is read over the API, where reading is
recorded. A trigger's name can disclose, and so can what was refused or what asks for attention: those go to subscriptions
with the scope `clinical` alone. Free text goes to nobody.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.store.events import StoredEvent

THIN, CLINICAL = "thin", "clinical"
CHANGED, REFUSED, ATTENTION = "course.changed", "course.refused", "course.attention"
DISABLED, PING = "subscription.disabled", "subscription.ping"
NAMED, EVERY_NAME = "course.", "course.*"
DEFAULT_TYPES = (CHANGED, ATTENTION, DISABLED)
ID_PREFIX = "evt_"


class CourseChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A transition was recorded. `sequence` is its entry's seq: 1, 2, 3 … in every course. `head` is the hash its chain ends in with it.

    `origin` is the way it came: `api`, `pages`, `cli`, or the name of the EHR system that fired it.
    """

    course: str
    sequence: int
    head: str
    entry: str
    origin: str


class CourseTransition(CourseChanged, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The same with the trigger's name, and from where to where. Needs the scope `clinical`."""

    trigger: str
    from_: str | None
    to: str
    occurred_at: dt.datetime


class CourseRefused(msgspec.Struct, frozen=True, kw_only=True):
    """Rules stood against a trigger. It is no entry and has no sequence. Needs the scope `clinical`."""

    course: str
    refusal: str
    trigger: str
    rules: tuple[str, ...]


class CourseAttention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The clock says that a course asks for attention. `kind` is told to the scope `clinical` alone: a risk is a clinical fact."""

    course: str
    kind: str | None = None


class SubscriptionDisabled(msgspec.Struct, frozen=True, kw_only=True):
    """Another subscription of the organisation was disabled: `gone` (it answered 410) or `failing` (for too long)."""

    subscription: str
    reason: str


class SubscriptionPing(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asked for this, to see that it arrives."""

    subscription: str


Data = CourseChanged | CourseTransition | CourseRefused | CourseAttention | SubscriptionDisabled | SubscriptionPing


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent: `data` has the shape of its type. `timestamp` is when it happened, not when it was sent."""

    type: str
    timestamp: dt.datetime
    data: Any


class FeedEvent(WebhookEvent, frozen=True, kw_only=True):
    """The same in the feed; `id` is the `webhook-id` it is delivered with."""

    id: str


SHAPES: dict[str, type[msgspec.Struct]] = {
    CHANGED: CourseChanged,
    REFUSED: CourseRefused,
    ATTENTION: CourseAttention,
    DISABLED: SubscriptionDisabled,
    PING: SubscriptionPing,
}
CLINICAL_TYPES = frozenset({REFUSED, EVERY_NAME})


def webhook_id(event_id: str) -> str:
    return ID_PREFIX + event_id


def fault_in_type(name: str, scope: str) -> str | None:
    """What is wrong with a type that somebody subscribes to."""
    trigger = name.removeprefix(NAMED) if name.startswith(NAMED) else ""
    named = trigger in triggers.BY_NAME or trigger.startswith(triggers.BEGIN_PREFIX)
    if name not in {CHANGED, REFUSED, ATTENTION, DISABLED, EVERY_NAME} and not named:
        return f"must be {CHANGED}, {REFUSED}, {ATTENTION}, {DISABLED}, {EVERY_NAME} or course. and a trigger's name"
    if scope != CLINICAL and (named or name in CLINICAL_TYPES):
        return f"is told to the scope {CLINICAL} alone: a name can disclose"
    return None


def type_for(kind: str, trigger: str | None, types: Sequence[str], scope: str) -> str | None:
    """Under which type a subscription is told of an event; None where it is not. An entry comes once: named if that was asked for."""
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
    name = {"attention": ATTENTION, "disabled": DISABLED}[kind]
    return name if name in types else None


def render(told: StoredEvent, types: Sequence[str], scope: str) -> WebhookEvent | None:
    """An event as a subscription with these types and this scope is told of it; None where it is not."""
    name = type_for(told.kind, told.trigger, types, scope)
    if name is None:
        return None
    data = _data(told, name, scope)
    return WebhookEvent(type=name, timestamp=told.created_at, data=data) if data else None


def _data(told: StoredEvent, name: str, scope: str) -> Data | None:
    course, about = told.course or "", told.subscription or ""
    if told.kind == "entry":
        return _transition(told, name)
    if told.kind == "refusal":
        return CourseRefused(course=course, refusal=told.id, trigger=told.refused or "", rules=told.rules)
    if told.kind == "attention":
        return CourseAttention(course=course, kind=told.detail if scope == CLINICAL else None)
    if told.kind == "disabled":
        return SubscriptionDisabled(subscription=about, reason=told.detail or "")
    return SubscriptionPing(subscription=about)


def _transition(told: StoredEvent, name: str) -> Data | None:
    if told.entry is None:
        return None
    written = told.entry.written
    thin = {
        "course": written.course,
        "sequence": written.seq,
        "head": told.entry.hash,
        "entry": written.id,
        "origin": written.actor.person if written.actor.role == "ehr" else written.actor.via,
    }
    if name == CHANGED:
        return CourseChanged(**thin)  # type: ignore[arg-type]
    return CourseTransition(
        **thin,  # type: ignore[arg-type]
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
        DISABLED: {"subscription": subscription, "reason": "failing"},
        PING: {"subscription": subscription},
    }
    trigger = name.removeprefix(NAMED)
    data = fixed.get(name, {**thin, "trigger": trigger, "from": "initial", "to": "initial", "occurred_at": at})
    return WebhookEvent(type=name, timestamp=at, data=msgspec.convert(data, shape(name)))


def shape(name: str) -> Any:
    """The shape of a type's data."""
    return SHAPES.get(name, CourseTransition)
