"""The policy: every question that is checked before a read or a write, and the roles that may.

Which courses exist for somebody is not asked here, but in `relations`. Auditors never write. An administrator manages people, tokens, cover and
what their organisation decides, may refer clients, and sees no course. The operator belongs to the installation: they manage organisations and read metrics, and
see no course.

A facilitator records and signs the group's sessions on the courses of all who were members then, restricted courses among them.

A therapist on duty records a client's call in a crisis on the course of another therapist, and sees nothing of it.
"""

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import PROPOSERS, Role
from ipt_workflow.errors import Forbidden

QUESTIONS: dict[str, tuple[Role, ...]] = {
    "read courses": ("therapist", "supervisor", "auditor", "ehr"),
    "search courses by client": ("therapist", "supervisor", "auditor", "ehr"),
    "read who saw a course": ("therapist", "supervisor", "auditor"),
    "record a disclosure": ("therapist", "supervisor"),
    "export a client's data": ("therapist", "supervisor", "auditor"),
    "open a course": ("therapist", "supervisor", "ehr", "admin"),
    "change a course": ("therapist", "supervisor", "ehr"),
    "keep drafts": ("therapist", "supervisor"),
    "label a client": ("therapist", "supervisor", "ehr"),
    "take a crisis call": ("therapist", "supervisor"),
    "take emergency access": ("therapist", "supervisor"),
    "read emergency access": ("therapist", "supervisor", "auditor"),
    "review emergency access": ("supervisor",),
    "unmask sealed text": ("auditor",),
    "read unmaskings": ("supervisor", "auditor"),
    "try a protocol": ("supervisor", "auditor", "admin"),
    "propose": PROPOSERS,
    "read proposals": ("therapist", "supervisor", "auditor"),
    "decide proposals": ("supervisor",),
    "record supervision": ("therapist", "supervisor"),
    "read supervision": ("therapist", "supervisor", "auditor"),
    "read a supervisor's day": ("supervisor",),
    "read the audit log": ("auditor", "supervisor"),
    "export the audit log": ("auditor",),
    "verify the journal": ("auditor", "supervisor"),
    "manage tokens": ("admin",),
    "manage systems": ("admin",),
    "manage sessions": ("admin",),
    "manage sign-in": ("admin",),
    "manage people": ("admin",),
    "read sessions to attest": ("supervisor",),
    "manage subscriptions": ("admin",),
    "read deliveries": ("admin", "auditor"),
    "read events": ("supervisor", "auditor", "ehr"),
    "manage sources": ("admin",),
    "read own messages": ("ehr",),
    "read notices": ("therapist", "supervisor", "auditor"),
    "resolve notices": ("therapist", "supervisor"),
    "read groups": ("therapist", "supervisor", "auditor"),
    "manage groups": ("therapist", "supervisor"),
    "record group sessions": ("therapist",),
    "read cover": ("therapist", "supervisor", "auditor", "admin"),
    "arrange cover": ("therapist", "supervisor", "admin"),
    "read restrictions": ("supervisor", "auditor", "admin"),
    "restrict a course": ("supervisor", "admin"),
    "erase a client": ("supervisor", "admin"),
    "read erasures": ("supervisor", "auditor", "admin"),
    "mark a client": ("supervisor", "admin"),
    "read marks on clients": ("supervisor", "auditor", "admin"),
    "read retention": ("auditor", "admin"),
    "decide retention": ("admin",),
    "read protocols": ("therapist", "supervisor", "auditor", "ehr", "admin"),
    "read metrics": ("operator", "admin", "auditor"),
    "read metrics of all organisations": ("operator",),
    "manage organisations": ("operator",),
    "manage own organisation": ("admin",),
    "read the sandbox clock": ("therapist", "supervisor", "auditor", "ehr", "admin"),
    "move the sandbox clock": ("therapist", "supervisor", "ehr", "admin"),
}


def may(principal: Principal, question: str) -> bool:
    return principal.role in QUESTIONS[question]


def require(principal: Principal, question: str) -> None:
    """Raises Forbidden unless the principal's role may."""
    if not may(principal, question):
        raise Forbidden(question, principal.role, QUESTIONS[question])
