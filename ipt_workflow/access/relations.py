"""Who may see a course, and why: the one predicate, as Python. `store/relations.py` is the same predicate as SQL.

It is decided in two steps. What the course's row says decides most cases: the therapist's own course, and a reader of the whole
organisation. Only if that does not suffice are the person's ties to the course looked up: groups, cover, supervision.

A restricted course admits its therapist and the people named for it. A name admits and does not grant: it takes a relation as well.
Systems and auditors are no colleagues, so a restriction does not bind them. A system sees a course as long as the consent to share it
is not withdrawn. Emergency access opens every course of a client, also a restricted one, where no other relation does.

While processing of the client's data is restricted (GDPR 18), the therapist, who covers for them and emergency access go on seeing the course,
and nobody else. The relation then has the ground `despite` which they see it, so that every record of a read has it.
"""

from typing import Literal

import msgspec

from ipt_workflow.access.break_glass import EMERGENCY_WRITES, AuditorText
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Role
from ipt_workflow.values.types import SharingPurpose

Basis = Literal["own", "group", "cover", "supervision", "emergency", "organisation", "system"]
Purpose = SharingPurpose | Literal["ETREAT", "PATRQT", "SYSADMIN"]
Supervision = Literal["organisation", "supervisees"]

WITH_TIES: frozenset[Role] = frozenset({"therapist", "supervisor"})  # a person of these roles is tied to single courses
UNRESTRICTED: frozenset[Role] = frozenset({"auditor", "ehr"})  # no restriction binds them
PURPOSES: dict[Role, Purpose] = {
    "therapist": "TREAT",
    "supervisor": "HQUALIMP",
    "auditor": "HOPERAT",
    "ehr": "TREAT",
    "admin": "SYSADMIN",
    "operator": "SYSADMIN",
}


class Relation(msgspec.Struct, frozen=True):
    """How a person is related to a course that they may see, and what they use it for. `on_behalf_of` is whom they cover for.

    `writes` are the only triggers that it allows; None for all that the person's role may fire. `despite` is the ground of the processing
    restriction in spite of which they see it.
    """

    basis: Basis
    purpose: Purpose
    on_behalf_of: str | None = None
    writes: tuple[str, ...] | None = None
    despite: str | None = None


OWN = Relation("own", "TREAT")
FACILITATOR = Relation("group", "TREAT")  # of who facilitates a member's group
EMERGENCY = Relation("emergency", "ETREAT", writes=EMERGENCY_WRITES)
CRISIS_CALL = Relation("emergency", "ETREAT")  # of who takes a call in a crisis, and sees nothing of the course


class AccessRules(msgspec.Struct, frozen=True):
    """What an organisation decides: whether supervisors see its courses, or those of their supervisees.

    `auditor_text`: whether auditors read sealed text at any time (`open`), after they unmasked it (`unmask`), or `never`.
    """

    supervision: Supervision = "organisation"
    auditor_text: AuditorText = "open"


def access_rules(settings: bytes) -> AccessRules:
    """The rules in an organisation's settings."""
    return msgspec.json.decode(settings, type=AccessRules)


class Viewer(msgspec.Struct, frozen=True):
    """Whom the predicate is asked for, as Python and as SQL."""

    person: str
    role: Role
    supervision: Supervision = "organisation"

    @property
    def has_ties(self) -> bool:
        return self.role in WITH_TIES

    @property
    def unrestricted(self) -> bool:
        """Whether they see every course of the organisation."""
        return self.role in UNRESTRICTED

    @property
    def bound_by_sharing(self) -> bool:
        """Whether they see only courses that are shared."""
        return self.role == "ehr"

    @property
    def sees_organisation(self) -> bool:
        """Whether they see every course of the organisation that is not restricted."""
        return self.unrestricted or (self.role == "supervisor" and self.supervision == "organisation")

    @property
    def sees_supervisees(self) -> bool:
        return self.role == "supervisor" and not self.sees_organisation


class Ties(msgspec.Struct, frozen=True, kw_only=True):
    """What ties a person to a course that is not their own. `named`: a restriction of the course names them.

    `emergency`: they have emergency access to the courses of its client.
    """

    named: bool = False
    facilitates: bool = False
    covers: bool = False
    supervises: bool = False
    emergency: bool = False


def viewer(principal: Principal, rules: AccessRules) -> Viewer:
    return Viewer(principal.person, principal.role, rules.supervision)


def at_once(
    who: Viewer, therapist: str | None, *, restricted: bool, shared: bool = True, processing: str | None = None
) -> Relation | None:
    """The relation that the course's own row shows; None if there is none, or if it takes the person's ties to tell.

    `processing` is the ground of a processing restriction.
    """
    if therapist == who.person and who.has_ties:
        return _despite(OWN, processing)
    if processing or (who.bound_by_sharing and not shared):
        return None
    if who.unrestricted or (who.sees_organisation and not restricted):
        return standing(who)
    return None


def relation(
    who: Viewer, therapist: str | None, ties: Ties, *, restricted: bool, shared: bool = True, processing: str | None = None
) -> Relation | None:
    """How the person is related to a course; None if it does not exist for them."""
    if found := at_once(who, therapist, restricted=restricted, shared=shared, processing=processing):
        return found
    if not who.has_ties:
        return None
    found = None if restricted and not ties.named else _tied(who, therapist, ties, treating=bool(processing))
    return _despite(found or (EMERGENCY if ties.emergency else None), processing)


def _despite(found: Relation | None, processing: str | None) -> Relation | None:
    return msgspec.structs.replace(found, despite=processing) if found and processing else found


def _tied(who: Viewer, therapist: str | None, ties: Ties, *, treating: bool) -> Relation | None:
    """The closest of the lasting relations; with `treating`, only that of who treats the client in the therapist's place."""
    if treating:
        return Relation("cover", "TREAT", therapist) if ties.covers else None
    if ties.facilitates:
        return FACILITATOR
    if ties.covers:
        return Relation("cover", "TREAT", therapist)
    if who.sees_supervisees and ties.supervises:
        return Relation("supervision", PURPOSES[who.role])
    return standing(who) if who.sees_organisation else None


def standing(who: Viewer) -> Relation:
    """On what a person acts where no single course is concerned, or every course of the organisation alike."""
    if who.role == "ehr":
        return Relation("system", PURPOSES[who.role])
    if who.role == "therapist":
        return Relation("own", PURPOSES[who.role])
    return Relation("supervision" if who.sees_supervisees else "organisation", PURPOSES[who.role])


def may_see_group(who: Viewer, facilitators: frozenset[str], supervisees: frozenset[str] = frozenset()) -> bool:
    """Whether a group exists for the person. `supervisees` are asked for only if they see those alone."""
    if who.has_ties and who.person in facilitators:
        return True
    return who.sees_organisation or (who.sees_supervisees and not supervisees.isdisjoint(facilitators))
