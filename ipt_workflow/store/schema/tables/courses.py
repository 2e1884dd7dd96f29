"""Protocols, clients and their labels, courses, and proposals about courses."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.store.schema.tables.columns import ROLES, one_of

ATTENTION = (
    "overdue",
    "blocked",
    "ending",
    "risk",
    "unsigned",
    "deviation",
    "unassigned",
    "contradicted",
    "owed",
    "consent",
    "not_attending",
    "deteriorating",
    "not_improving",
    "outcome_missing",
    "transfer_open",
)
# The kinds that are also reported to subscribers, once each time they begin.
REPORTED = ("overdue", "ending", "risk", *ATTENTION[ATTENTION.index("consent") :])


def _attention_index(kind: str) -> sa.Index:
    """An index of only the courses that need attention of this kind, now or later."""
    some = sa.text(f"{kind}_from IS NOT NULL")
    return sa.Index(f"ix_course_{kind}", "organisation", f"{kind}_from", "id", sqlite_where=some, postgresql_where=some)


# A literal, so that the databases see that a statement asks for what the indexes hold.
OPEN = f"state NOT IN ({', '.join(repr(state) for state in ENDED)})"


def _open_index(name: str, *columns: str) -> sa.Index:
    """An index of only the courses that have not ended."""
    return sa.Index(name, "organisation", *columns, sqlite_where=sa.text(OPEN), postgresql_where=sa.text(OPEN))


class ProtocolRow(SQLModel, table=True):
    """A protocol's definition as it was first loaded, so that an edited file never changes a running course."""

    __tablename__ = "protocol"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=64)
    version: int = Field(primary_key=True)
    digest: str = Field(max_length=64)
    definition: bytes
    loaded_at: dt.datetime


class ClientRow(SQLModel, table=True):
    """The only place that holds the EHR's reference to a client. Erasing it leaves the journal whole."""

    __tablename__ = "client"
    __table_args__ = (sa.UniqueConstraint("organisation", "ref"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    ref: str | None = Field(default=None, max_length=128)
    created_at: dt.datetime


class ClientLabelRow(SQLModel, table=True):
    """What the clinic calls a client beside their reference: a JSON document. An erasure empties `sealed`, as taking the label away does."""

    __tablename__ = "client_label"

    organisation: str = Field(primary_key=True, max_length=64)
    client_id: str = Field(primary_key=True, max_length=36)
    sealed: bytes | None = None
    given_by: str = Field(max_length=128)
    given_at: dt.datetime


class CourseRow(SQLModel, table=True):
    """The cache of a course's fold. `snapshot` holds the whole fold; the other columns are for filters.

    Each `…_from` column holds the time from which the course needs attention of that kind. Attention for notices is read from `notice`.
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
        sa.Index("ix_course_phase", "organisation", "phase", "id"),
        sa.Index("ix_course_protocol", "organisation", "protocol", "id"),
        sa.Index("ix_course_client", "organisation", "client_id", "id"),
        _open_index("ix_course_open", "id"),
        _open_index("ix_course_open_therapist", "therapist", "id"),
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
    shared: bool = Field(sa_column_kwargs={"server_default": sa.true()})
    restricted: bool = Field(sa_column_kwargs={"server_default": sa.false()})  # no part of the fold
    overdue_from: dt.datetime | None = None
    blocked_from: dt.datetime | None = None
    ending_from: dt.datetime | None = None
    risk_from: dt.datetime | None = None
    unsigned_from: dt.datetime | None = None
    deviation_from: dt.datetime | None = None
    unassigned_from: dt.datetime | None = None
    contradicted_from: dt.datetime | None = None
    owed_from: dt.datetime | None = None
    consent_from: dt.datetime | None = None
    not_attending_from: dt.datetime | None = None
    deteriorating_from: dt.datetime | None = None
    not_improving_from: dt.datetime | None = None
    outcome_missing_from: dt.datetime | None = None
    transfer_open_from: dt.datetime | None = None


class ProposalRow(SQLModel, table=True):
    """A command that waits for a supervisor, or for its proposer to revise it. `body` is emptied when it does so no longer.

    A co-signed command is in its entry. `comment` is a supervisor's, who returned it.
    """

    __tablename__ = "proposal"
    __table_args__ = (
        sa.Index("ix_proposal_status", "organisation", "status", "id"),
        sa.Index(
            "ix_proposal_undecided",
            "organisation",
            "course_id",
            sqlite_where=sa.text("body IS NOT NULL"),
            postgresql_where=sa.text("body IS NOT NULL"),
        ),
        sa.Index("ix_proposal_proposer", "organisation", "proposed_by", "id"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    course_id: str = Field(max_length=36)
    version: int
    trigger: str = Field(max_length=80)
    body: bytes | None = None
    proposed_by: str = Field(max_length=128)
    proposed_role: str = Field(sa_type=one_of("proposal_role", ROLES))
    proposed_at: dt.datetime
    therapist: str | None = Field(default=None, max_length=128)  # of the course when it was made
    status: str = Field(sa_type=one_of("proposal_status", ("waiting", "returned", "cosigned", "declined", "lapsed")))
    decided_by: str | None = Field(default=None, max_length=128)
    decided_at: dt.datetime | None = None
    entry_seq: int | None = None
    reason: str | None = Field(default=None, sa_type=one_of("proposal_reason", ("course_ended", "moved_on", "proposer", "revised")))
    comment: bytes | None = None


protocol = ProtocolRow.__table__  # type: ignore[attr-defined]
client = ClientRow.__table__  # type: ignore[attr-defined]
client_label = ClientLabelRow.__table__  # type: ignore[attr-defined]
course = CourseRow.__table__  # type: ignore[attr-defined]
proposal = ProposalRow.__table__  # type: ignore[attr-defined]
