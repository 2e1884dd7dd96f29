"""Events for subscribers, subscriptions, deliveries, and the tasks of the relay."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import one_of

# `withheld` and `resumed` by a consent are found when events are numbered; by a processing restriction they are published.
EVENT_KINDS = ("entry", "refusal", "attention", "disabled", "ping", "emergency", "withheld", "resumed")
SCOPES = ("thin", "clinical")
SUBSCRIPTION_STATUSES = ("active", "paused", "disabled", "deleted")
DELIVERY_STATUSES = ("waiting", "delivered", "dead", "withheld", "cancelled")

_SHARING = sa.text("kind IN ('withheld', 'resumed')")
_WAITING = sa.text("status = 'waiting'")


def _waiting_index(name: str, *columns: str) -> sa.Index:
    """An index of a subscription's waiting deliveries. It does not begin with the organisation; see `claims.within`."""
    return sa.Index(name, "subscription_id", *columns, postgresql_where=_WAITING, sqlite_where=_WAITING)


class OutboxRow(SQLModel, table=True):
    """An event to publish, written in the transaction that caused it. It refers to the content and holds none of it.

    The relay moves it to `event`. An `entry` is named by course and seq, a `refusal` by its id in the audit log. `detail` is the kind of
    an `attention`, the id of an `emergency` access or the reason of a `disabled`; `subscription_id` is the subscription of a `disabled` or `ping`.
    """

    __tablename__ = "outbox"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    kind: str = Field(sa_type=one_of("outbox_kind", EVENT_KINDS), sa_column_kwargs={"server_default": "entry"})
    course_id: str | None = Field(default=None, max_length=36)
    seq: int | None = None
    detail: str | None = Field(default=None, max_length=64)
    subscription_id: str | None = Field(default=None, max_length=36)
    created_at: dt.datetime


class EventRow(SQLModel, table=True):
    """An outbox row with its position. One process at a time assigns positions, after commit. So nothing appears behind a reader."""

    __tablename__ = "event"
    __table_args__ = (
        sa.UniqueConstraint("organisation", "id"),
        sa.Index("ix_event_created", "organisation", "created_at"),
        sa.Index("ix_event_sharing", "organisation", "course_id", postgresql_where=_SHARING, sqlite_where=_SHARING),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    position: int = Field(primary_key=True)
    id: str = Field(max_length=36)
    kind: str = Field(sa_type=one_of("event_kind", EVENT_KINDS))
    course_id: str | None = Field(default=None, max_length=36)
    seq: int | None = None
    detail: str | None = Field(default=None, max_length=64)
    subscription_id: str | None = Field(default=None, max_length=36)
    created_at: dt.datetime


class SubscriptionRow(SQLModel, table=True):
    """A subscriber. `types` and `courses` are JSON lists; without `courses`, all. A deleted subscription keeps its row but not its keys."""

    __tablename__ = "subscription"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    url: str = Field(max_length=2000)
    types: str
    courses: str | None = None
    scope: str = Field(sa_type=one_of("subscription_scope", SCOPES))
    purpose: str = Field(max_length=16, sa_column_kwargs={"server_default": "TREAT"})
    status: str = Field(sa_type=one_of("subscription_status", SUBSCRIPTION_STATUSES))
    reason: str | None = Field(default=None, max_length=64)
    created_at: dt.datetime
    created_by: str = Field(max_length=128)
    failing_since: dt.datetime | None = None
    throttled_until: dt.datetime | None = None


class SubscriptionKeyRow(SQLModel, table=True):
    """A key that signs a subscription's deliveries until it expires. `secret` is encrypted if the setting `secret_keys` is set."""

    __tablename__ = "subscription_key"
    __table_args__ = (sa.Index("ix_subscription_key_subscription", "organisation", "subscription_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    subscription_id: str = Field(max_length=36)
    scheme: str = Field(max_length=8)
    secret: str = Field(max_length=500)
    public: str | None = Field(default=None, max_length=64)
    created_at: dt.datetime
    expires_at: dt.datetime | None = None


class DeliveryRow(SQLModel, table=True):
    """One event for one subscription. `lane` is the course, or empty; deliveries in a lane go out in order, one at a time.

    Pings have a lane of their own. The sending process holds the `lease` until `leased_until`; after that, another may send.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        sa.UniqueConstraint("organisation", "subscription_id", "position"),
        sa.Index("ix_delivery_status", "organisation", "status"),
        _waiting_index("ix_delivery_waiting", "next_at", "position"),
        _waiting_index("ix_delivery_in_lane", "lane", "position"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    subscription_id: str = Field(max_length=36)
    position: int
    lane: str = Field(max_length=36)
    status: str = Field(sa_type=one_of("delivery_status", DELIVERY_STATUSES))
    attempts: int
    next_at: dt.datetime
    lease: str | None = Field(default=None, max_length=36)
    leased_until: dt.datetime | None = None
    last_status: int | None = None
    last_problem: str | None = Field(default=None, max_length=24)
    last_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None


class RelayTaskRow(SQLModel, table=True):
    """A task that one process does at a time, while it locks the row. `position` is the last position that was assigned."""

    __tablename__ = "relay_task"

    organisation: str = Field(primary_key=True, max_length=64)
    name: str = Field(primary_key=True, max_length=24)
    position: int


class AttentionToldRow(SQLModel, table=True):
    """The kinds of attention already reported for a course, separated by commas, at its `version`.

    `next_at` is when to scan the course again even if it has not changed.
    """

    __tablename__ = "attention_told"

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    version: int
    kinds: str = Field(max_length=255)
    next_at: dt.datetime | None = None


outbox = OutboxRow.__table__  # type: ignore[attr-defined]
event = EventRow.__table__  # type: ignore[attr-defined]
subscription = SubscriptionRow.__table__  # type: ignore[attr-defined]
subscription_key = SubscriptionKeyRow.__table__  # type: ignore[attr-defined]
delivery = DeliveryRow.__table__  # type: ignore[attr-defined]
relay_task = RelayTaskRow.__table__  # type: ignore[attr-defined]
attention_told = AttentionToldRow.__table__  # type: ignore[attr-defined]
