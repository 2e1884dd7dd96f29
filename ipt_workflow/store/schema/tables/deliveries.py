"""Events for subscribers, subscriptions, deliveries, and the tasks of the relay."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import one_of

EVENT_KINDS = ("entry", "refusal", "attention", "disabled", "ping")
SCOPES = ("thin", "clinical")
SUBSCRIPTION_STATUSES = ("active", "paused", "disabled", "deleted")
DELIVERY_STATUSES = ("waiting", "delivered", "dead", "withheld", "cancelled")


class OutboxRow(SQLModel, table=True):
    """What is to be told, written with what happened: it names that, and holds nothing of it. The relay turns it into an event.

    An `entry` is named by course and seq, a `refusal` by its id in the audit log; `detail` is the kind of an `attention` or the reason
    of a `disabled`; `subscription_id` is the one that a `disabled` or `ping` is about.
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
    """An outbox row that has its place. Places are given out after commit by one hand at a time, so nothing appears behind a reader."""

    __tablename__ = "event"
    __table_args__ = (sa.UniqueConstraint("organisation", "id"), sa.Index("ix_event_created", "organisation", "created_at"))

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
    """Somebody who is told. `types` and `courses` are JSON lists; no `courses`: all. A deleted one keeps its row, and no keys."""

    __tablename__ = "subscription"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    url: str = Field(max_length=2000)
    types: str
    courses: str | None = None
    scope: str = Field(sa_type=one_of("subscription_scope", SCOPES))
    status: str = Field(sa_type=one_of("subscription_status", SUBSCRIPTION_STATUSES))
    reason: str | None = Field(default=None, max_length=64)
    created_at: dt.datetime
    created_by: str = Field(max_length=128)
    failing_since: dt.datetime | None = None
    throttled_until: dt.datetime | None = None


class SubscriptionKeyRow(SQLModel, table=True):
    """A key that a subscription's deliveries are signed with, until it expires. `secret` is sealed where `secret_keys` is set."""

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
    """One event for one subscription. `lane` is the course, or nothing: what waits in a lane goes in order, one at a time.

    Whoever sends it holds the `lease` until it ends; then another may.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        sa.UniqueConstraint("organisation", "subscription_id", "position"),
        sa.Index("ix_delivery_due", "organisation", "status", "next_at"),
        sa.Index("ix_delivery_lane", "organisation", "subscription_id", "lane", "status", "position"),
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
    """Work that one hand does at a time: whoever has the row locked. `position` is the last place that was given out."""

    __tablename__ = "relay_task"

    organisation: str = Field(primary_key=True, max_length=64)
    name: str = Field(primary_key=True, max_length=24)
    position: int


class AttentionToldRow(SQLModel, table=True):
    """What was told of a course's clock at a version of it: `kinds` by commas, and when to look again though nothing changed."""

    __tablename__ = "attention_told"

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    version: int
    kinds: str = Field(max_length=64)
    next_at: dt.datetime | None = None


outbox = OutboxRow.__table__  # type: ignore[attr-defined]
event = EventRow.__table__  # type: ignore[attr-defined]
subscription = SubscriptionRow.__table__  # type: ignore[attr-defined]
subscription_key = SubscriptionKeyRow.__table__  # type: ignore[attr-defined]
delivery = DeliveryRow.__table__  # type: ignore[attr-defined]
relay_task = RelayTaskRow.__table__  # type: ignore[attr-defined]
attention_told = AttentionToldRow.__table__  # type: ignore[attr-defined]
