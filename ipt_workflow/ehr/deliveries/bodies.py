"""The shapes of what is asked and answered about subscriptions and deliveries."""

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipt_workflow.ehr.deliveries import events
from ipt_workflow.store.subscriptions import StoredKey
from ipt_workflow.values.types import Moment

Scheme = Literal["v1", "v1a"]
Scope = Literal["thin", "clinical"]
Url = Annotated[str, Meta(max_length=2000)]
Types = Annotated[tuple[Annotated[str, Meta(max_length=80)], ...], Meta(min_length=1, max_length=100)]
Courses = Annotated[tuple[Annotated[str, Meta(max_length=36)], ...], Meta(min_length=1, max_length=500)]


class NewSubscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates a subscription. Without `courses`: all of them. `signatures` says which kinds every delivery carries."""

    url: Url
    types: Types = events.DEFAULT_TYPES
    courses: Courses | None = None
    scope: Scope = "thin"
    signatures: Annotated[tuple[Scheme, ...], Meta(min_length=1, max_length=2)] = ("v1",)


class SubscriptionChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that changes a subscription: what is left out stays. `courses` null: all of them."""

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    courses: Courses | UnsetType | None = UNSET
    scope: Scope | UnsetType = UNSET


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that rotates keys: how long deliveries are signed with the old ones as well."""

    overlap_hours: Annotated[int, Meta(ge=0, le=168)] = 24


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that replays: what happened `since` a moment, or from the event `first` on; up to the event `last`, or to the end.

    `missed`: only what was not delivered. Unless it says otherwise, that is meant with `since`, and everything with `first`.
    """

    since: Moment | None = None
    first: str | None = None
    last: str | None = None
    missed: bool | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries wait again. `next` is given where there is more than one request replays: ask again with it as `first`."""

    deliveries: int
    next: str | None


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret. `public` verifies `v1a` signatures."""

    id: str
    scheme: str
    public: str | None
    created_at: dt.datetime
    expires_at: dt.datetime | None


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. `status` is active, paused or disabled, and then `reason` gone or failing."""

    id: str
    url: str
    types: tuple[str, ...]
    courses: tuple[str, ...] | None
    scope: str
    status: str
    reason: str | None
    created_at: dt.datetime
    created_by: str
    failing_since: dt.datetime | None
    keys: tuple[KeyView, ...]


class ShownSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The one time that a secret is shown; null where only `v1a` was asked for, which needs none."""

    subscription: SubscriptionView
    secret: str | None


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one subscription. `problem` is why the last attempt failed: status, address, name, connection, timeout, answer."""

    id: str
    event: str
    kind: str
    course: str | None
    sequence: int | None
    status: str
    attempts: int
    last_at: dt.datetime | None
    http_status: int | None
    problem: str | None
    next_at: dt.datetime | None
    ended_at: dt.datetime | None
    position: int


def key_view(key: StoredKey) -> KeyView:
    return KeyView(id=key.id, scheme=key.scheme, public=key.public, created_at=key.created_at, expires_at=key.expires_at)


def delivery_view(row: Any) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        event=events.webhook_id(row.event_id),
        kind=row.kind,
        course=row.course_id,
        sequence=row.seq,
        status=row.status,
        attempts=row.attempts,
        last_at=row.last_at,
        http_status=row.last_status,
        problem=row.last_problem,
        next_at=row.next_at if row.status == "waiting" else None,
        ended_at=row.ended_at,
        position=row.position,
    )
