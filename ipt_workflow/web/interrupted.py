"""What the end of a session interrupts: the page that somebody wanted, and what they had written on it.

A form about a course that comes after its session has ended by itself is kept as a draft of the session's person. They go on with it once
they have signed in again. Who signed out, or whose session somebody ended, sends nothing more.
"""

import re
from typing import Any

from litestar import Request
from litestar.datastructures import Cookie
from litestar.types import Receive

from ipt_workflow.access.sessions import SessionSecret
from ipt_workflow.api.services import front_desk
from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.service.access.sessions import acting, lapsed
from ipt_workflow.service.drafts import Drafts
from ipt_workflow.web.forgery import FIELD
from ipt_workflow.web.pages import cookie, no_cookie

COOKIE = "__Host-ipt-next"
COOKIE_SECONDS = 3600
KEPT = "kept"  # in the address of the page to sign in, where something was kept
NOT_KEPT = frozenset({FIELD, "_version", "_do", "_add", "_propose", "_discard"})
_OPENING = r"session(?:/[0-9]{1,9})?|do/[a-z0-9_]{1,64}|history/[0-9]{1,9}/put-right"  # the forms that open with a draft
_FORM = re.compile(rf"/courses/([0-9a-f-]{{36}})/({_OPENING})")
_PAGE = re.compile(r"/[A-Za-z0-9_/-]{1,200}")  # of this service: no host, no query


async def keep(scope: Any, receive: Receive, secret: SessionSecret | None) -> bool:
    """Keeps the form of a request, if it is one about a course and its session has ended by itself. Returns whether it did."""
    form = _FORM.fullmatch(scope["path"])
    found = await lapsed(front_desk(scope).clinics, secret) if form and scope["method"] == "POST" else None
    if form is None or found is None:
        return False
    clinic, session = found
    posted = await Request[Any, Any, Any](scope, receive=receive).form()
    pairs = ((name, value) for name, value in posted.multi_items() if name not in NOT_KEPT and isinstance(value, str))
    try:
        await Drafts(clinic).save(acting(session, "pages"), form[1], form[2], pairs)
    except (Forbidden, NotFound):
        return False
    return True


def remembered(path: str) -> Cookie:
    """Remembers where somebody was going, until they have signed in."""
    return cookie(COOKIE, path, COOKIE_SECONDS) if _PAGE.fullmatch(path) and not path.startswith("//") else no_cookie(COOKIE)


def wanted(text: str) -> str:
    """The page that is remembered; the start page if there is none."""
    return text if _PAGE.fullmatch(text) and not text.startswith("//") else "/"
