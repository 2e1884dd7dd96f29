"""Where somebody can go from every page, by the role in which they act."""

from typing import Any

from ipt_workflow.web.language import _, noted

Places = tuple[tuple[str, str], ...]

THERAPIST: Places = (
    ("/", noted("My day")),
    ("/courses", noted("Courses")),
    ("/groups", noted("Groups")),
    ("/inbox", noted("Inbox")),
)
SUPERVISOR: Places = (
    ("/", noted("My day")),
    ("/supervision", noted("Supervision")),
    ("/courses", noted("Courses")),
    ("/groups", noted("Groups")),
    ("/audit", noted("Audit")),
)
AUDITOR: Places = (("/", noted("My day")), ("/audit", noted("Audit")), ("/courses", noted("Courses")))
ADMINISTRATOR: Places = (("/", noted("Start")), ("/admin", noted("Administration")))
PLACES: dict[str, Places] = {"therapist": THERAPIST, "supervisor": SUPERVISOR, "auditor": AUDITOR, "admin": ADMINISTRATOR}


ROLES = {
    "therapist": noted("therapist"),
    "supervisor": noted("supervisor"),
    "auditor": noted("auditor"),
    "admin": noted("administrator"),
    "ehr": noted("EHR"),
    "operator": noted("operator"),
}


def role_name(role: str) -> str:
    """A role in the reader's language."""
    return _(ROLES[role])


def places(role: str | None, path: str, root: str) -> list[dict[str, Any]]:
    """The places of a role for a page at a path, as the macro takes them. The longest address that the path begins with is active."""
    known = PLACES.get(role or "", ())
    within = [href for href, _text in known if path == href or (href != "/" and path.startswith(f"{href}/"))]
    current = max(within, key=len, default="")
    return [{"text": _(text), "href": root + href, "current": href == path, "active": href == current} for href, text in known]
