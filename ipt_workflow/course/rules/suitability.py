"""Rules about whether a protocol is the right one for this client, and whether what it needs is arranged."""

import re

from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal

AGES = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3})|(\+))?")


@rule(source="domain 6.2")
def consent_given(case: Case) -> Refusal | None:
    """The consent to treatment is on record before the first phase begins: of everybody whose consent the protocol asks for."""
    asked = case.protocol.consent.by if case.protocol.consent else ()
    lacking = [who for who in asked if f"treatment:{who}" not in case.course.consenting]
    if "treatment" in case.course.consents and not lacking:
        return None
    return case.stands(
        f"There is no consent to treatment{' by the ' + ' and the '.join(lacking) if lacking else ''}.",
        current=list(case.course.consenting if asked else case.course.consents),
        required=[f"treatment, by the {who}" for who in asked] or "treatment",
        remedies=("record_consent",),
    )


@rule(source="design")
def therapist_assigned(case: Case) -> Refusal | None:
    """Somebody is the course's therapist before the first phase begins."""
    if case.course.therapist:
        return None
    return case.stands("The course has no therapist.", current=None, required="a therapist", remedies=("transfer",))


@rule(source="domain 2 (WHO group, IPC)", needs="supervision")
def supervisor_named(case: Case) -> Refusal | None:
    """Who is no specialist has a supervisor, who is somebody else."""
    named = case.data.get("supervisor")
    if named and named != case.course.therapist:
        return None
    return case.stands(
        "The therapist cannot be their own supervisor." if named else "No supervisor has been named.",
        current="the therapist" if named else None,
        required="data.supervisor: a person other than the therapist",
    )


@rule(source="seed S17", soft=True)
def indication_fits(case: Case) -> Refusal | None:
    """What the client was referred for, if it was said, is one of the protocol's indications."""
    indication = case.course.indication
    if indication is None or indication in case.protocol.indications:
        return None
    return case.stands(
        f"{case.protocol.title} is not indicated for {indication}.",
        current=indication,
        required="one of " + ", ".join(case.protocol.indications),
    )


@rule(source="seed S17; domain 2", soft=True)
def age_fits(case: Case) -> Refusal | None:
    """The client's age band, if it was said in years (`13-17`, `65+`, `40`), has an age of the protocol in it."""
    band = AGES.fullmatch(case.course.age_band or "")
    if band is None:
        return None
    least = int(band[1])
    most = int(band[2]) if band[2] else 200 if band[3] else least
    ages = case.protocol.ages
    if least <= ages.max and most >= ages.min:
        return None
    return case.stands(f"{case.protocol.title} is for other ages.", current=case.course.age_band, required=f"{ages} years")


@rule(source="seed S18; domain 2", soft=True)
def format_fits(case: Case) -> Refusal | None:
    """The format in which the therapy will be given, if it is told, is the protocol's."""
    told = case.data.get("format")
    if told in {None, case.protocol.format}:
        return None
    return case.stands(f"{case.protocol.title} is given in another format.", current=told, required=case.protocol.format)


@rule(source="seed S18; domain 2", soft=True)
def provider_fits(case: Case) -> Refusal | None:
    """Who will give the therapy, if it is told, is one whom the protocol is made for; a clinician may give any."""
    told = case.data.get("provider")
    if told in {None, "mental_health_clinician", case.protocol.provider}:
        return None
    return case.stands(f"{case.protocol.title} is given by others.", current=told, required=case.protocol.provider)
