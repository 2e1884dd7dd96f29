"""The tables. Every one is keyed by organisation first, so that it can be partitioned or sharded on it.

Constructors of table classes do not validate; the domain's types do. Statements are built from `__table__`, never through an
ORM session. Times are aware and in UTC on both databases.
"""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = SQLModel.metadata
METADATA.naming_convention = NAMING

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
ATTENTION = ("overdue", "blocked", "ending", "risk", "unsigned", "deviation", "unassigned", "contradicted")
AUDIT_KINDS = ("refusal", "read", "export", "sign_in", "config", "proposal", "delivery", "notice")
EVENT_KINDS = ("entry", "refusal", "attention", "disabled", "ping")
SCOPES = ("thin", "clinical")
SUBSCRIPTION_STATUSES = ("active", "paused", "disabled", "deleted")
DELIVERY_STATUSES = ("waiting", "delivered", "dead", "withheld", "cancelled")
KEY_KINDS = ("standard-webhooks", "x-signature", "bearer")
NOTICE_STATUSES = ("received", "waiting", "applied", "ignored", "dismissed")


def one_of(name: str, values: tuple[str, ...]) -> Any:
    """An enum column that holds readable values and is checked by the database."""
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def _attention_index(kind: str) -> sa.Index:
    """An index of those courses alone that need attention of this kind, or will."""
    some = sa.text(f"{kind}_from IS NOT NULL")
    return sa.Index(f"ix_course_{kind}", "organisation", f"{kind}_from", "id", sqlite_where=some, postgresql_where=some)


class ProtocolRow(SQLModel, table=True):
    """A protocol's definition as it was when first loaded: an edited file never changes a running course."""

    __tablename__ = "protocol"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=64)
    version: int = Field(primary_key=True)
    digest: str = Field(max_length=64)
    definition: bytes
    loaded_at: dt.datetime


class ClientRow(SQLModel, table=True):
    """The one place where the EHR's reference to a client is kept; erasing it leaves the journal whole."""

    __tablename__ = "client"
    __table_args__ = (sa.UniqueConstraint("organisation", "ref"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    ref: str | None = Field(default=None, max_length=128)
    created_at: dt.datetime


class CourseRow(SQLModel, table=True):
    """The cache of a course's fold, with what lists are filtered by. `snapshot` holds the whole fold.

    The `…_from` columns say from when on a course needs attention of that kind, if it does. What notices ask for stands in `notice`.
    """

    __tablename__ = "course"
    __table_args__ = (
        sa.Index(
            "uq_course_one_active",
            "organisation",
            "client_id",
            unique=True,
            sqlite_where=sa.text("active_acute"),
            postgresql_where=sa.text("active_acute"),
        ),
        sa.Index("ix_course_therapist", "organisation", "therapist", "id"),
        sa.Index("ix_course_state", "organisation", "state", "id"),
        sa.Index("ix_course_client", "organisation", "client_id"),
        *(_attention_index(kind) for kind in ATTENTION),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    client_id: str = Field(max_length=36)
    therapist: str | None = Field(default=None, max_length=128)
    protocol: str = Field(max_length=64)
    protocol_version: int
    protocol_digest: str = Field(max_length=64)
    state: str = Field(max_length=64)
    phase: str | None = Field(default=None, max_length=64)
    active_acute: bool
    version: int
    head: str = Field(max_length=64)
    last_recorded_at: dt.datetime
    snapshot: bytes
    overdue_from: dt.datetime | None = None
    blocked_from: dt.datetime | None = None
    ending_from: dt.datetime | None = None
    risk_from: dt.datetime | None = None
    unsigned_from: dt.datetime | None = None
    deviation_from: dt.datetime | None = None
    unassigned_from: dt.datetime | None = None
    contradicted_from: dt.datetime | None = None


class EntryRow(SQLModel, table=True):
    """One entry of a course's journal. `canonical` is what was hashed; the other columns only help to find it."""

    __tablename__ = "entry"
    __table_args__ = (
        sa.UniqueConstraint("organisation", "id"),
        sa.Index("ix_entry_recorded", "organisation", "recorded_at", "id"),
        sa.Index("ix_entry_person", "organisation", "person", "recorded_at", "id"),
        sa.Index("ix_entry_trigger", "organisation", "trigger", "recorded_at", "id"),
        sa.Index(
            "ix_entry_group_session",
            "organisation",
            "group_session",
            sqlite_where=sa.text("group_session IS NOT NULL"),
            postgresql_where=sa.text("group_session IS NOT NULL"),
        ),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    seq: int = Field(primary_key=True)
    id: str = Field(max_length=36)
    trigger: str = Field(max_length=80)
    from_state: str | None = Field(default=None, max_length=64)
    to_state: str = Field(max_length=64)
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("entry_role", ROLES))
    via: str = Field(max_length=16)
    cosigned_by: str | None = Field(default=None, max_length=128)
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    protocol_digest: str = Field(max_length=64)
    data_digest: str = Field(max_length=64)
    prev_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64)
    group_session: str | None = Field(default=None, max_length=36)
    canonical: bytes


class EntryDataRow(SQLModel, table=True):
    """What an entry seals. Erasure empties `salt` and `sealed`, together, and may do nothing else."""

    __tablename__ = "entry_data"

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    seq: int = Field(primary_key=True)
    salt: str | None = Field(default=None, max_length=64)
    sealed: bytes | None = None


class IdempotencyRow(SQLModel, table=True):
    """What a key was answered with: which entries it made, never their content. Kept for a day; removed some time later.

    Of a write to a group, `course_id` is the group's id and both seqs are the version that the group had then.
    """

    __tablename__ = "idempotency"

    organisation: str = Field(primary_key=True, max_length=64)
    scope: str = Field(primary_key=True, max_length=64)
    body: str = Field(max_length=64)
    course_id: str = Field(max_length=36)
    first_seq: int
    last_seq: int
    expires_at: dt.datetime


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


class ProposalRow(SQLModel, table=True):
    """A command that waits for a supervisor. `body` is emptied once it is decided: the entry has it then."""

    __tablename__ = "proposal"
    __table_args__ = (sa.Index("ix_proposal_status", "organisation", "status", "id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(max_length=36)
    version: int
    trigger: str = Field(max_length=80)
    body: bytes | None = None
    proposed_by: str = Field(max_length=128)
    proposed_role: str = Field(sa_type=one_of("proposal_role", ROLES))
    proposed_at: dt.datetime
    status: str = Field(sa_type=one_of("proposal_status", ("waiting", "cosigned", "declined")))
    decided_by: str | None = Field(default=None, max_length=128)
    decided_at: dt.datetime | None = None
    entry_seq: int | None = None


class TokenRow(SQLModel, table=True):
    """A bearer token: only the SHA-256 of its secret part is kept."""

    __tablename__ = "token"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=32)
    secret_hash: str = Field(max_length=64)
    role: str = Field(sa_type=one_of("token_role", ROLES))
    name: str = Field(max_length=128)
    subject: str = Field(max_length=128)
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None = None


class SourceRow(SQLModel, table=True):
    """An EHR that may send notices. One that `names_persons` is trusted to say who did what; of one that sends `all_visits`, every
    visit belongs to IPT. `client_prefix` goes before the id of a FHIR Patient to make a client reference."""

    __tablename__ = "source"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=32)
    names_persons: bool
    all_visits: bool
    client_prefix: str = Field(max_length=64)
    created_at: dt.datetime
    created_by: str = Field(max_length=128)
    disabled_at: dt.datetime | None = None


class SourceKeyRow(SQLModel, table=True):
    """A key that a source's notices are verified with, until it expires. A bearer token is kept as its SHA-256 only."""

    __tablename__ = "source_key"
    __table_args__ = (sa.Index("ix_source_key_source", "organisation", "source_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    source_id: str = Field(max_length=32)
    kind: str = Field(sa_type=one_of("source_key_kind", KEY_KINDS))
    secret: str = Field(max_length=500)
    created_at: dt.datetime
    expires_at: dt.datetime | None = None


def _waiting_index(column: str) -> sa.Index:
    """An index of those notices alone that wait for a person."""
    some = sa.text("status = 'waiting'")
    return sa.Index(f"ix_notice_waiting_{column}", "organisation", column, sqlite_where=some, postgresql_where=some)


class NoticeRow(SQLModel, table=True):
    """A message of an EHR, kept before anything is done with it. `key` is the digest of what makes it the same message again.

    `resource` names what it tells of in the EHR, at `resource_version` and `resource_at`; `seq` the entry that it made, `about_seq`
    the entry that this resource is. `body` (what it said) and `detail` (why it waits) are there only while it waits; both are sealed
    content and can be erased at any time. The client stands in `client` alone.
    """

    __tablename__ = "notice"
    __table_args__ = (
        sa.UniqueConstraint("organisation", "source_id", "key"),
        sa.Index("ix_notice_status", "organisation", "status", "id"),
        sa.Index("ix_notice_resource", "organisation", "source_id", "resource", "id"),
        _waiting_index("course_id"),
        _waiting_index("client_id"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    source_id: str = Field(max_length=32)
    key: str = Field(max_length=64)
    body_hash: str = Field(max_length=64)
    type: str = Field(max_length=64)
    resource: str | None = Field(default=None, max_length=160)
    resource_version: str | None = Field(default=None, max_length=64)
    resource_at: dt.datetime | None = None
    received_at: dt.datetime
    status: str = Field(sa_type=one_of("notice_status", NOTICE_STATUSES))
    risk: bool
    client_id: str | None = Field(default=None, max_length=36)
    course_id: str | None = Field(default=None, max_length=36)
    seq: int | None = None
    about_seq: int | None = None
    body: bytes | None = None
    detail: bytes | None = None
    decided_by: str | None = Field(default=None, max_length=128)
    decided_at: dt.datetime | None = None


class GroupRow(SQLModel, table=True):
    """A group, pinned to a protocol. `version` is the seq of the last line of its log, which lies in the three tables below."""

    __tablename__ = "therapy_group"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    label: str = Field(max_length=64)
    protocol: str = Field(max_length=64)
    protocol_version: int
    version: int
    created_at: dt.datetime
    created_by: str = Field(max_length=128)


class GroupFacilitatorRow(SQLModel, table=True):
    """Who facilitates a group from a seq on: all rows of one seq together, until the next."""

    __tablename__ = "group_facilitator"
    __table_args__ = (sa.Index("ix_group_facilitator_person", "organisation", "person", "group_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    group_id: str = Field(primary_key=True, max_length=36)
    seq: int = Field(primary_key=True)
    person: str = Field(primary_key=True, max_length=128)
    told_by: str = Field(max_length=128)
    told_at: dt.datetime


class GroupMemberRow(SQLModel, table=True):
    """A course joined a group, or left it. `nth` counts these lines of a course in whichever group, so that it is in one at a time."""

    __tablename__ = "group_member"
    __table_args__ = (sa.UniqueConstraint("organisation", "group_id", "seq"),)

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    nth: int = Field(primary_key=True)
    group_id: str = Field(max_length=36)
    seq: int
    joined: bool
    at: dt.datetime
    reason: str | None = Field(default=None, max_length=24)
    told_by: str = Field(max_length=128)
    told_at: dt.datetime


class GroupSessionRow(SQLModel, table=True):
    """A session of a group as it was told. `told` is JSON: by course its attendance, and the entry or the notice that it became."""

    __tablename__ = "group_session"
    __table_args__ = (sa.UniqueConstraint("organisation", "group_id", "seq"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    group_id: str = Field(max_length=36)
    seq: int
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    recorded_by: str = Field(max_length=128)
    kind: str = Field(max_length=16)
    medium: str = Field(max_length=16)
    minutes: int | None = None
    scheduled_for: dt.datetime | None = None
    held: bool
    told: bytes


class FeedRow(SQLModel, table=True):
    """A FHIR subscription that notifies us: the digest of its reference, and the last event of it that we have seen."""

    __tablename__ = "feed"

    organisation: str = Field(primary_key=True, max_length=64)
    source_id: str = Field(primary_key=True, max_length=32)
    subscription: str = Field(primary_key=True, max_length=64)
    last_event: int
    seen_at: dt.datetime


class AuditRow(SQLModel, table=True):
    """What was not a transition: refusals, reads, exports and the like. Transitions are in `entry`."""

    __tablename__ = "audit_event"
    __table_args__ = (
        sa.Index("ix_audit_event_recorded", "organisation", "recorded_at", "id"),
        sa.Index("ix_audit_event_person", "organisation", "person", "recorded_at", "id"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    kind: str = Field(sa_type=one_of("audit_kind", AUDIT_KINDS))
    recorded_at: dt.datetime
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("audit_role", ROLES))
    via: str = Field(max_length=16)
    action: str = Field(max_length=80)  # the trigger that was refused, or what was read
    rules: str | None = Field(default=None, max_length=2000)  # of a refusal: the rules' names, by commas
    request_id: str | None = Field(default=None, max_length=64)
    command: bytes | None = None  # of a refusal: the structural part of what was asked, as JSON (`rejudging.Told`)


class AuditSubjectRow(SQLModel, table=True):
    """Every course that an audit event touched."""

    __tablename__ = "audit_subject"
    __table_args__ = (sa.Index("ix_audit_subject_course", "organisation", "course_id", "event_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    event_id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(primary_key=True, max_length=36)


protocol = ProtocolRow.__table__  # type: ignore[attr-defined]
client = ClientRow.__table__  # type: ignore[attr-defined]
course = CourseRow.__table__  # type: ignore[attr-defined]
entry = EntryRow.__table__  # type: ignore[attr-defined]
entry_data = EntryDataRow.__table__  # type: ignore[attr-defined]
idempotency = IdempotencyRow.__table__  # type: ignore[attr-defined]
outbox = OutboxRow.__table__  # type: ignore[attr-defined]
event = EventRow.__table__  # type: ignore[attr-defined]
subscription = SubscriptionRow.__table__  # type: ignore[attr-defined]
subscription_key = SubscriptionKeyRow.__table__  # type: ignore[attr-defined]
delivery = DeliveryRow.__table__  # type: ignore[attr-defined]
relay_task = RelayTaskRow.__table__  # type: ignore[attr-defined]
attention_told = AttentionToldRow.__table__  # type: ignore[attr-defined]
proposal = ProposalRow.__table__  # type: ignore[attr-defined]
token = TokenRow.__table__  # type: ignore[attr-defined]
source = SourceRow.__table__  # type: ignore[attr-defined]
source_key = SourceKeyRow.__table__  # type: ignore[attr-defined]
notice = NoticeRow.__table__  # type: ignore[attr-defined]
therapy_group = GroupRow.__table__  # type: ignore[attr-defined]
group_facilitator = GroupFacilitatorRow.__table__  # type: ignore[attr-defined]
group_member = GroupMemberRow.__table__  # type: ignore[attr-defined]
group_session = GroupSessionRow.__table__  # type: ignore[attr-defined]
feed = FeedRow.__table__  # type: ignore[attr-defined]
audit_event = AuditRow.__table__  # type: ignore[attr-defined]
audit_subject = AuditSubjectRow.__table__  # type: ignore[attr-defined]
