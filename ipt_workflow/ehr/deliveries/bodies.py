"""Bodies of requests and responses about subscriptions and deliveries."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipt_workflow.ehr.deliveries import events
from ipt_workflow.store.deliveries import ListedDelivery
from ipt_workflow.store.subscriptions import StoredKey, StoredSubscription
from ipt_workflow.values.types import Moment, SharingPurpose

CHECKPOINT = "ipt-log-checkpoint"  # the header with the newest checkpoint of the log
Scheme = Literal["v1", "v1a"]
Scope = Literal["thin", "clinical"]
Url = Annotated[str, Meta(max_length=2000)]
Types = Annotated[tuple[Annotated[str, Meta(max_length=80)], ...], Meta(min_length=1, max_length=100)]
Courses = Annotated[tuple[Annotated[str, Meta(max_length=36)], ...], Meta(min_length=1, max_length=500)]


class NewSubscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates a subscription. Without `courses`, it covers all courses. Every delivery carries each kind in `signatures`.

    `purpose` is what the receiver uses the events for. For what does not serve care, clients consent by name.
    """

    url: Url
    types: Types = events.DEFAULT_TYPES
    courses: Courses | None = None
    scope: Scope = "thin"
    purpose: SharingPurpose = "TREAT"
    signatures: Annotated[tuple[Scheme, ...], Meta(min_length=1, max_length=2)] = ("v1",)


class SubscriptionChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that changes a subscription. Fields that are left out keep their values. `courses` null: all courses."""

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    courses: Courses | UnsetType | None = UNSET
    scope: Scope | UnsetType = UNSET
    purpose: SharingPurpose | UnsetType = UNSET


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that rotates keys. For `overlap_hours`, the old keys sign every delivery as well."""

    overlap_hours: Annotated[int, Meta(ge=0, le=168)] = 24


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that replays events `since` a moment, or from the event `first` on; up to the event `last`, or to the end.

    `missed`: replay only what was not delivered. The default is true with `since`, and false with `first`.
    """

    since: Moment | None = None
    first: str | None = None
    last: str | None = None
    missed: bool | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The number of deliveries that wait again. If `next` is not null, more events are left: send it as `first` to continue."""

    deliveries: int
    next: str | None


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key, without its secret. `public` verifies `v1a` signatures."""

    id: str
    scheme: str
    public: str | None
    created_at: dt.datetime
    expires_at: dt.datetime | None


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. `status` is active, paused or disabled. If disabled, `reason` is gone or failing."""

    id: str
    url: str
    types: tuple[str, ...]
    courses: tuple[str, ...] | None
    scope: str
    purpose: str
    status: str
    reason: str | None
    created_at: dt.datetime
    created_by: str
    failing_since: dt.datetime | None
    keys: tuple[KeyView, ...]


class ShownSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription with its secret, which is shown only here. `secret` is null with `v1a` alone, which needs none."""

    subscription: SubscriptionView
    secret: str | None


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one subscription. `problem` says why the last attempt failed: status, address, name, connection, timeout, answer."""

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


def subscription_view(subscription: StoredSubscription, keys: Sequence[StoredKey]) -> SubscriptionView:
    return SubscriptionView(
        id=subscription.id,
        url=subscription.url,
        types=subscription.types,
        courses=subscription.courses,
        scope=subscription.scope,
        purpose=subscription.purpose,
        status=subscription.status,
        reason=subscription.reason,
        created_at=subscription.created_at,
        created_by=subscription.created_by,
        failing_since=subscription.failing_since,
        keys=tuple(key_view(key) for key in keys),
    )


def delivery_view(listed: ListedDelivery) -> DeliveryView:
    return DeliveryView(
        id=listed.id,
        event=events.webhook_id(listed.event),
        kind=listed.kind,
        course=listed.course,
        sequence=listed.seq,
        status=listed.status,
        attempts=listed.attempts,
        last_at=listed.last_at,
        http_status=listed.http_status,
        problem=listed.problem,
        next_at=listed.next_at if listed.status == "waiting" else None,
        ended_at=listed.ended_at,
        position=listed.position,
    )
