"""The field's single values: texts, codes, people and times, and the code lists of the NHS data dictionary."""

import datetime as dt
from typing import Annotated, Literal, get_args

from msgspec import Meta

from ipt_workflow.values import identities

NO_NEWLINE = r"(?!\n)"


def whole(pattern: str) -> str:
    """A pattern for all of a text. After Python's `$` alone a newline may follow; this end means the same to every reader."""
    return f"^{pattern}${NO_NEWLINE}"


SEALED = {"sealed": True}
TEXT_MAX = 4000
LIST_MAX = 50

Text = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX, extra=SEALED)]
Texts = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=LIST_MAX)]
Code = Annotated[str, Meta(pattern=whole(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,63}"))]
Codes = Annotated[tuple[Code, ...], Meta(max_length=LIST_MAX)]
# The pattern says nearly all that `identities` checks, for readers of the schemas. The empty text is for `Identity` to refuse.
AN_IDENTITY = Meta(
    pattern=whole(r"([^\s\x00-\x1f\x7f-\xa0]([^\x00-\x1f\x7f-\xa0]*[^\s\x00-\x1f\x7f-\xa0])?)?"),
    extra=identities.MARK,
    extra_json_schema={"format": identities.FORMAT},
)
Identity = Annotated[str, AN_IDENTITY, Meta(min_length=1, max_length=identities.LENGTH_MAX)]
Person = Identity
FileKey = Identity
ClientRef = Annotated[Identity, Meta(extra={"reference": True})]
ExternalRef = Annotated[str, Meta(min_length=1, max_length=128, pattern=whole(r"[\x21-\x7e]+"))]
Seq = Annotated[int, Meta(ge=1, le=1_000_000)]
# `names` is the trigger whose entry a field names. In `together`, the place of that command may stand for it (`course.references`).
BY_PLACE = 'In `together`, the place of an earlier command may stand for it, such as {"together": 0}.'
SessionSeq = Annotated[Seq, Meta(extra={"names": "record_session"}, description=f"The number of the session's entry. {BY_PLACE}")]
FormulationVersion = Annotated[
    Seq, Meta(extra={"names": "record_formulation"}, description=f"The formulation's version. {BY_PLACE}")
]
RecordedSeq = Annotated[Seq, Meta(extra={"names": None})]  # an entry that is recorded already
Count = Annotated[int, Meta(ge=0, le=1000)]
Moment = Annotated[dt.datetime, Meta(tz=True)]

# NHS data dictionary, ATTENDED OR DID NOT ATTEND (domain.md 5.2 [found:F40])
AttendanceCode = Literal["5", "6", "7", "2", "3", "4"]
ATTENDED = frozenset({"5", "6"})
MISSED_BY_CLIENT = frozenset({"2", "3", "7"})
CANCELLED = frozenset({"2", "4"})
WAITED_FOR = frozenset({"3", "7"})  # the therapist was there, the client was not or came too late

# NHS Talking Therapies end codes (domain.md 5.2 [found:F41])
NotTakenOn = Literal["10", "11", "12", "13", "14", "16", "17", "50", "95"]
EndedEarly = Literal["10", "11", "12", "13", "14", "16", "17", "46", "47", "48", "49", "50", "95", "96"]
AGREED = "46"
DECEASED = frozenset({"17", "49"})
ClientOutcome = Literal["remission", "response", "partial_response", "no_response", "deterioration", "not_known"]

RiskLevel = Literal["none", "monitored", "elevated", "acute"]
RISK_LEVELS: tuple[str, ...] = get_args(RiskLevel)  # the lowest first
Medium = Literal["face_to_face", "video", "telephone", "email", "text"]
Participant = Literal["client", "partner", "parent", "guardian", "family", "carer", "interpreter", "group", "other"]
Stage = Literal["renegotiation", "impasse", "dissolution"]
ConsentScope = Literal["treatment", "recording", "sharing", "family_contact"]
# What a record is shared for (codes of HL7's v3-PurposeOfUse). For care it is shared until that is withdrawn, for all else after a consent that
# names the purpose: quality, public health, research.
SharingPurpose = Literal["TREAT", "HPAYMT", "HOPERAT", "HQUALIMP", "PUBHLTH", "HRESCH"]
OF_CARE = frozenset({"TREAT", "HPAYMT", "HOPERAT"})
Consenting = Literal["client", "partner", "parent", "guardian", "family", "carer"]
Format = Literal["individual", "group", "couple", "telephone"]
Provider = Literal["mental_health_clinician", "non_specialist"]
RhythmForm = Literal["srm5", "srm17"]
ClockTime = Annotated[str, Meta(pattern=whole(r"([01][0-9]|2[0-3]):[0-5][0-9]"))]
HistoryPart = Literal[
    "onset",
    "previous_episodes",
    "past_treatment",
    "family_history",
    "medical_and_substance",
    "medication",
    "suicide_history",
]
