"""Words of the pages about protocols: what a value, a difference, a source's weight and the end of a move are called."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ipt_workflow.gate import CLAIMS
from ipt_workflow.protocols.statements import Statement
from ipt_workflow.web.forms import option_text
from ipt_workflow.web.language import _, noted

CONFIDENCE = {
    "seed": noted("given at the start"),
    "found": noted("read in the source"),
    "memory_high": noted("from memory, sure"),
    "memory_medium": noted("from memory, to be checked"),
    "memory_low": noted("from memory, unsure"),
    "design": noted("decided here"),
}
DIFFERENCES = {
    "added": noted("new"),
    "removed": noted("taken away"),
    "changed": noted("changed"),
    "source": noted("same value, another source"),
}
KINDS = {
    "carries_over": noted("Everything carries over"),
    "new_gaps": noted("Something more is needed"),
    "stuck": noted("Cannot move"),
}
BECAME = {
    "moved": noted("moved"),
    "there_already": noted("was there already"),
    "stuck": noted("cannot move"),
    "conflict": noted("changed meanwhile: try again"),
    "refused": noted("refused"),
    "ended": noted("has ended"),
    "other_protocol": noted("has another protocol"),
    "unknown": noted("is not known, or none that you may see"),
}
PLACES = {
    "title": noted("Title"),
    "indications": noted("What it treats"),
    "format": noted("Setting"),
    "provider": noted("Who gives it"),
    "ages": noted("Age in years"),
    "acute": noted("Acute: a client has one open course of this kind"),
    "contract.weeks": noted("Weeks"),
    "contract.sessions": noted("Sessions"),
    "contract.cadence_days": noted("Days between sessions"),
    "contract.minutes": noted("Minutes of a session"),
    "contract.grace_days": noted("Days after the planned end on which a session may still be held"),
    "contract.gap_days": noted("Days without a session that ask for attention"),
    "contract.ending_notice_sessions": noted("Sessions before the end from which the ending is discussed"),
    "contract.ending_notice_days": noted("Days before the end from which the ending is discussed"),
    "phases.title": noted("Title"),
    "phases.sessions_min": noted("Fewest sessions"),
    "phases.sessions_max": noted("Most sessions"),
    "phases.sessions_max_extended": noted("Most sessions after it was extended"),
    "phases.count": noted("Sessions that count"),
    "phases.requires": noted("What must be there before it is left"),
    "phases.soft": noted("What may be passed over with a reason"),
    "sick_role.mode": noted("Sick role"),
    "focus.areas": noted("Problem areas"),
    "focus.max": noted("Problem areas at a time"),
    "focus.discouraged": noted("Problem areas that take a reason"),
    "measures.instruments": noted("Scales"),
    "measures.baseline_days": noted("Days before the start from which a score is a baseline"),
    "group.members": noted("Members"),
    "group.minutes": noted("Minutes of a session"),
    "group.pre_individual": noted("Individual meetings before the group"),
    "supervision.required": noted("A supervisor must be named"),
    "consent.by": noted("Whose consent is needed"),
    "participants.required": noted("Who takes part in every session"),
    "medium.allowed": noted("How one may meet"),
    "medium.default": noted("How one meets if nothing is said"),
    "rhythm.instrument": noted("Form for the social rhythm"),
    "rhythm.weeks": noted("Weeks of it before the first phase ends"),
    "review.every_days": noted("Days between reviews"),
    "attention.misses": noted("Missed appointments in a row that ask for attention"),
    "attention.check_session": noted("Session by which there should be improvement"),
    "attention.outcome_days": noted("Days for which an appointment may lack its outcome"),
    "attention.transfer_days": noted("Days for which a transfer may wait"),
    "followup.carries": noted("What a course after another one brings from it"),
}
TABLES = {
    "contract": noted("Contract"),
    "sick_role": noted("Sick role"),
    "focus": noted("Problem areas"),
    "group": noted("Group"),
    "supervision": noted("Supervision"),
    "consent": noted("Consent"),
    "participants": noted("Who takes part"),
    "medium": noted("How one meets"),
    "rhythm": noted("Social rhythm"),
    "review": noted("Review"),
    "attention": noted("Attention"),
    "followup": noted("After another course"),
}
AIMS = {
    "symptoms": noted("Scales of symptoms"),
    "interpersonal_functioning": noted("Scales of interpersonal functioning"),
    "social_support": noted("Scales of social support"),
}
CODES = {  # the lists of the forms' words from which the codes of a value are said
    "indications": "indication",
    "format": "format",
    "provider": "provider",
    "phases.requires": "artefact",
    "phases.soft": "artefact",
    "sick_role.mode": "sick_role_mode",
    "focus.areas": "area",
    "focus.discouraged": "area",
    "consent.by": "consenting",
    "participants.required": "participant",
    "medium.allowed": "medium",
    "medium.default": "medium",
    "rhythm.instrument": "rhythm_form",
}


def every_text() -> Iterator[str]:
    """The texts that stand elsewhere, for the catalogues: what the gate claims."""
    yield from CLAIMS.values()


_NAMED = re.compile(r"\[([^]]*)\]")


def place_text(each: Statement) -> str:
    """What a value is called. A rule's own numbers are called as the rule names them."""
    key = _NAMED.sub("", each.key)
    if known := PLACES.get(key):
        return _(known)
    rule = next((name for name in reversed(each.within) if name.startswith("rules[")), "")
    named = _NAMED.search(rule)
    words = [named[1] if named else "", each.place]
    return ": ".join(word.replace("_", " ") for word in words if word)


def group_text(each: Statement, phases: Mapping[str, str]) -> str:
    """What a value belongs to. `phases` are the names of the phases."""
    if not each.within:
        return _("The protocol")
    table = each.within[0]
    named = _NAMED.search(table)
    if named:
        return phases.get(named[1]) or _(AIMS.get(named[1], named[1]))
    return _(TABLES.get(table, table))


def value_text(each: Statement) -> str:
    """A value of a definition as one reads it."""
    options = CODES.get(_NAMED.sub("", each.key))
    return _value(each.value, lambda code: _(option_text(options, code)) if options else code)


def _value(value: Any, said: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, Mapping):
        least, most = value.get("min"), value.get("max")
        return str(least) if least == most else _("%(least)s to %(most)s", least=least, most=most)
    if isinstance(value, list | tuple):
        return ", ".join(_value(item, said) for item in value)
    return said(value) if isinstance(value, str) else str(value)
