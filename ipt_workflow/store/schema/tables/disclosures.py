"""What people of the clinic disclosed about a client by other ways than this service, such as a letter to a court."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import ROLES, one_of


class DisclosureRow(SQLModel, table=True):
    """A disclosure, as somebody recorded it. `purpose` is a code of HL7's v3-PurposeOfUse; `authorised`: the client agreed to it.

    To whom and what is in `access_text`, which an erasure empties. `text_digest` is the SHA-256 of its salt and text.
    """

    __tablename__ = "disclosure"
    __table_args__ = (sa.Index("ix_disclosure_client", "organisation", "client_id", "disclosed_at"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    client_id: str = Field(max_length=36)
    disclosed_at: dt.datetime
    purpose: str = Field(max_length=16)
    authorised: bool
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("disclosure_role", ROLES))
    via: str = Field(max_length=16)
    recorded_at: dt.datetime
    text_digest: str = Field(max_length=64)


disclosure = DisclosureRow.__table__  # type: ignore[attr-defined]
