"""The audit log in words: what happened, why somebody might, and which rules stood against it."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ipt_workflow.access.marks import PROCESSING
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.runtime.documents import toml_table
from ipt_workflow.web.language import _, noted

RULES_FILE = Path(__file__).with_name("rules.toml")
KINDS = {
    "transition": noted("Recorded on a course"),
    "refusal": noted("Refused"),
    "read": noted("Read"),
    "export": noted("Exported"),
    "sign_in": noted("Signed in or out"),
    "config": noted("Set up or changed"),
    "proposal": noted("Asked a supervisor to agree"),
    "delivery": noted("Sent to another system"),
    "notice": noted("Came from an EHR"),
    "access": noted("Cover, emergency access and the like"),
}
BASES = {
    "own": noted("their own client"),
    "group": noted("leads the client's group"),
    "cover": noted("covers for the therapist"),
    "supervision": noted("supervises the therapist"),
    "emergency": noted("emergency"),
    "organisation": noted("their role in the clinic"),
    "system": noted("a connected system"),
}
PURPOSES = {
    "TREAT": noted("treatment"),
    "ETREAT": noted("treatment in an emergency"),
    "HQUALIMP": noted("supervision"),
    "HPAYMT": noted("payment"),
    "PUBHLTH": noted("public health"),
    "HRESCH": noted("research"),
    "HOPERAT": noted("audit"),
    "PATRQT": noted("the client asked"),
    "SYSADMIN": noted("administration"),
}
DENIED = {
    "role": noted("Their role may not"),
    "hidden": noted("Does not exist for them"),
    "scope": noted("Their token may not"),
    "sign_in": noted("They must sign in again"),
    "client": noted("The client is not known"),
}
RESTRICTED = noted("processing is restricted")
READS = {
    "course": noted("The course"),
    "history": noted("The history"),
    "options": noted("What can be done"),
    "preview": noted("What a step would change"),
    "caseload": noted("A list of courses"),
    "proposals": noted("What waits for agreement"),
    "audit": noted("The audit log"),
    "exports": noted("The list of exports"),
    "who saw a course": noted("Who looked at the course"),
    "access report": noted("Who had to do with the client"),
    "accounting of disclosures": noted("What was disclosed of the client"),
    "client export preview": noted("What an export of the client holds"),
    "delivered": noted("events that arrived"),
    "dead": noted("events that could not be sent"),
    "withheld": noted("events that were withheld"),
    "events of scope thin": noted("That something happened, and not what"),
    "events of scope clinical": noted("What happened, without what was written"),
    "verify": noted("A check of the records"),
    "verifications": noted("Results of checks"),
    "restriction": noted("Who may see the course"),
    "notices": noted("The inbox"),
    "notice": noted("A notice of the inbox"),
    "groups": noted("The groups"),
    "events": noted("Events for other systems"),
    "deliveries": noted("What was sent to other systems"),
    "covers": noted("Cover"),
    "unmaskings": noted("Who read sealed text"),
    "emergency access": noted("An emergency access"),
    "emergency accesses": noted("Emergency accesses"),
    "sessions to attest": noted("Sessions to sign for who has left"),
    "migration plan": noted("What a new version would change"),
    "protocol trial": noted("A trial of a form of IPT"),
}


@cache
def rule_titles() -> dict[str, str]:
    """What each rule is about, in English."""
    return {rule: str(title) for rule, title in toml_table(RULES_FILE).items()}


def rule_title(rule: str) -> str:
    """What a rule is about; a rule of another version reads as it is written."""
    known = rule_titles().get(rule) or DENIED.get(rule)
    return _(known) if known else rule.replace("_", " ").capitalize()


def basis(code: str | None) -> str:
    return _(BASES[code]) if code in BASES else ""


def purpose(code: str | None) -> str:
    return _(PURPOSES[code]) if code in PURPOSES else ""


def why(basis_code: str | None, purpose_code: str | None, rules: Iterable[str] = (), on_behalf_of: str = "") -> str:
    """Why somebody might do something with a client's course, or that they might not."""
    rules = tuple(rules)
    denied = [rule for rule in rules if rule in DENIED]
    if denied:
        return _(DENIED[denied[0]])
    parts = [basis(basis_code), purpose(purpose_code), _(RESTRICTED) if PROCESSING in rules else ""]
    if on_behalf_of:
        parts.insert(1, on_behalf_of)
    return ", ".join(part for part in parts if part)


def what(record: AuditRecord, step: str) -> str:
    """What a record says that somebody did. `step` is what the step is called that it is about."""
    if record.kind == "transition":
        return step
    if record.kind == "refusal":
        return _("Refused: %(step)s", step=step)
    return f"{_(KINDS[record.kind])}: {read(record.action)}" if record.kind in {"read", "proposal"} else _other(record)


def _other(record: AuditRecord) -> str:
    return f"{_(KINDS[record.kind])}: {record.action}"


def read(action: str) -> str:
    return _(READS[action]) if action in READS else action


def every_text() -> Iterator[str]:
    """Every text of the file of rules, for the catalogues."""
    yield from rule_titles().values()
