"""Rules about whether a protocol is the right one for this client, and whether what it needs is arranged."""

import re

from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal

AGES = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3})|(\+))?")


@rule(source="domain 6.2")
def consent_given(case: Case) -> Refusal | None:
    """Consent to treatment is recorded before the first phase begins, by every person whose consent the protocol requires."""
    required = case.protocol.consent.by if case.protocol.consent else ()
    lacking = tuple(who for who in required if f"treatment:{who}" not in case.course.consenting)
    if "treatment" in case.course.consents and not lacking:
        return None
    current = list(case.course.consenting if required else case.course.consents)
    wanted = [f"treatment, by the {who}" for who in required] or "treatment"
    remedies = ("record_consent",)
    if lacking:
        return case.refuses("consent_given.by", current=current, required=wanted, remedies=remedies, who=lacking)
    return case.refuses("consent_given.treatment", current=current, required=wanted, remedies=remedies)


@rule(source="domain 6.2")
def consent_not_withdrawn(case: Case) -> Refusal | None:
    """Nobody has withdrawn consent to treatment without giving it again. Recording goes on, and so does ending early."""
    withdrawn = tuple(each.partition(":")[2] for each in case.course.withdrawing if each.startswith("treatment:"))
    if not withdrawn:
        return None
    return case.refuses(
        "consent_not_withdrawn",
        current=[f"withdrawn by the {who}" for who in withdrawn],
        required="treatment",
        remedies=("record_consent", "end_early"),
        who=withdrawn,
    )


@rule(source="design")
def therapist_assigned(case: Case) -> Refusal | None:
    """The course has a therapist before the first phase begins."""
    if case.course.therapist:
        return None
    return case.refuses("therapist_assigned", current=None, required="a therapist", remedies=("transfer",))


@rule(source="domain 2 (WHO group, IPC)", needs="supervision")
def supervisor_named(case: Case) -> Refusal | None:
    """A therapist who is no specialist has a supervisor, who is another person."""
    named = case.data.get("supervisor")
    if named and named != case.course.therapist:
        return None
    return case.refuses(
        "supervisor_named.self" if named else "supervisor_named.none",
        current="the therapist" if named else None,
        required="data.supervisor: a person other than the therapist",
    )


@rule(source="seed S17", soft=True)
def indication_fits(case: Case) -> Refusal | None:
    """The indication of the referral, if it names one, is one of the protocol's."""
    indication = case.course.indication
    if indication is None or indication in case.protocol.indications:
        return None
    return case.refuses(
        "indication_fits",
        current=indication,
        required="one of " + ", ".join(case.protocol.indications),
        protocol=case.protocol.title,
        indication=indication,
    )


@rule(source="seed S17; domain 2", soft=True)
def age_fits(case: Case) -> Refusal | None:
    """The client's age band, if it is given in years (`13-17`, `65+`, `40`), includes an age of the protocol."""
    band = AGES.fullmatch(case.course.age_band or "")
    if band is None:
        return None
    least = int(band[1])
    most = int(band[2]) if band[2] else 200 if band[3] else least
    ages = case.protocol.ages
    if least <= ages.max and most >= ages.min:
        return None
    return case.refuses(
        "age_fits",
        current=case.course.age_band,
        required=f"{ages} years",
        protocol=case.protocol.title,
        youngest=ages.min,
        oldest=ages.max,
    )


@rule(source="seed S18; domain 2", soft=True)
def format_fits(case: Case) -> Refusal | None:
    """The format of the therapy, if the therapist gives one, is the protocol's."""
    given, format_ = case.data.get("format"), case.protocol.format
    if given in {None, format_}:
        return None
    return case.refuses("format_fits", current=given, required=format_, protocol=case.protocol.title, format=(format_,))


@rule(source="seed S18; domain 2", soft=True)
def provider_fits(case: Case) -> Refusal | None:
    """The provider of the therapy, if the therapist gives one, is the protocol's. A clinician may give every protocol."""
    given, provider = case.data.get("provider"), case.protocol.provider
    if given in {None, "mental_health_clinician", provider}:
        return None
    return case.refuses("provider_fits", current=given, required=provider, protocol=case.protocol.title, provider=(provider,))
