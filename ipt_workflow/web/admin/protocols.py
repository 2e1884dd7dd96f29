"""The pages about protocols: their picture, their numbers with the sources, what differs, what is proved, and moving courses."""

import re
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from markupsafe import Markup

from ipt_workflow.access import policy
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.gate import CLAIMS
from ipt_workflow.protocols.definition import COMPLETED, ENDED_EARLY, NEW, NOT_SUITABLE, PAUSED, REFERRED, Protocol
from ipt_workflow.protocols.statements import Statement, statements
from ipt_workflow.service.protocols.versions import MoveOrder
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.admin.diagram import protocol_diagram, ways
from ipt_workflow.web.admin.terms import BECAME, CONFIDENCE, DIFFERENCES, KINDS, group_text, place_text, value_text
from ipt_workflow.web.course.sent import sent_form
from ipt_workflow.web.forms import Pairs, deed_label, read
from ipt_workflow.web.language import _, n_, noted, reader
from ipt_workflow.web.pages import PageRequest, page

ALL = "/admin/protocols"
COURSE = re.compile("[0-9a-f-]{36}")
NAMES = {
    NEW: noted("Nothing yet"),
    REFERRED: noted("Referred"),
    PAUSED: noted("Break"),
    COMPLETED: noted("Completed"),
    ENDED_EARLY: noted("Ended early"),
    NOT_SUITABLE: noted("Not suitable"),
}

WORDS: dict[str, Any] = {"place": place_text, "group": group_text, "value": value_text}


def _back(request: PageRequest) -> tuple[str, str]:
    return ("/admin", _("Administration")) if principal_of(request).role == "admin" else ("/", _("Start"))


@get(ALL, include_in_schema=False)
async def protocols(request: PageRequest) -> Response[bytes]:
    """Every version of every protocol."""
    found = await services_of(request).protocol_versions.every(principal_of(request))
    return page(request, "admin/protocols.html", versions=found, back=_back(request))


@get(f"{ALL}/{{protocol_id:str}}/{{version:int}}", include_in_schema=False)
async def protocol(request: PageRequest, protocol_id: FromPath[str], version: FromPath[int]) -> Response[bytes]:
    """A version: its picture, the ways between its states, and its values with their sources."""
    known = services_of(request).protocol_versions
    one = await known.one(principal_of(request), protocol_id, version)
    others = [each for each in await known.of(principal_of(request), protocol_id) if each.protocol.version != version]
    context: dict[str, Any] = {
        "others": others,
        "picture": _picture(one.protocol),
        "ways": _ways(one.protocol),
        "groups": _groups(one.protocol),
        "tries": policy.may(principal_of(request), "try a protocol"),
    }
    return page(request, "admin/protocol.html", known=one, confidence=CONFIDENCE, words=WORDS, **context)


def _names(known: Protocol) -> dict[str, str]:
    return {state: _(text) for state, text in NAMES.items()} | {phase.id: _(phase.title) for phase in known.phases}


def _picture(known: Protocol) -> Markup:
    phases = {phase.id: f"{_(phase.title)}\n{_dose(phase.sessions_min, phase.sessions_max)}" for phase in known.phases}
    says = _(
        "From the referral through %(phases)s to completion. The table below lists every way.",
        phases=", ".join(_(each.title) for each in known.phases),
    )
    return Markup(protocol_diagram(known, _names(known) | phases, _("The states of %(title)s", title=known.title), says))  # noqa: S704 - it escapes


def _dose(least: int, most: int | None) -> str:
    if most is None:
        return n_("%(num)s session or more", "%(num)s sessions or more", least)
    if least == most:
        return n_("%(num)s session", "%(num)s sessions", least)
    return _("%(least)s to %(most)s sessions", least=least, most=most)


def _ways(known: Protocol) -> list[tuple[str, str, str]]:
    """Every way between states: from, by what, to."""
    names = _names(known)
    return [
        (names[way.source], ", ".join(_(deed_label(each).title) for each in way.triggers), names[way.dest]) for way in ways(known)
    ]


def _groups(known: Protocol) -> list[tuple[str, list[Statement]]]:
    """The values by what they belong to, in the order of the file."""
    found: dict[str, list[Statement]] = {}
    for each in statements(known.source):
        found.setdefault(group_text(each, _names(known)), []).append(each)
    return list(found.items())


@get(f"{ALL}/{{protocol_id:str}}/{{before:int}}/differences/{{after:int}}", include_in_schema=False)
async def differences(
    request: PageRequest, protocol_id: FromPath[str], before: FromPath[int], after: FromPath[int]
) -> Response[bytes]:
    """What differs between two versions."""
    principal, known = principal_of(request), services_of(request).protocol_versions
    found = await known.differences(principal, protocol_id, before, after)
    new = await known.one(principal, protocol_id, after)
    versions: dict[str, Any] = {"protocol_id": protocol_id, "before": before, "after": after, "title": new.protocol.title}
    moves = new.in_force and policy.may(principal, "try a protocol")
    context: dict[str, Any] = {"kinds": DIFFERENCES, "words": WORDS, "names": _names(new.protocol), "moves": moves}
    return page(request, "admin/differences.html", differences=found, **context, **versions)


@get(f"{ALL}/{{protocol_id:str}}/{{version:int}}/proof", include_in_schema=False)
async def proof(request: PageRequest, protocol_id: FromPath[str], version: FromPath[int]) -> Response[bytes]:
    """What is proved of a version. It is worked out when somebody first asks."""
    known = services_of(request).protocol_versions
    report = await known.proof(principal_of(request), protocol_id, version)
    one = await known.one(principal_of(request), protocol_id, version)
    return page(request, "admin/proof.html", known=one, report=report, claims=CLAIMS, label=deed_label)


@get(f"{ALL}/{{protocol_id:str}}/{{before:int}}/move/{{after:int}}", include_in_schema=False)
async def move_plan(
    request: PageRequest, protocol_id: FromPath[str], before: FromPath[int], after: FromPath[int]
) -> Response[bytes]:
    """What moving the running courses to another version would do, a page of them at a time."""
    return await _plan(request, protocol_id, before, after)


async def _plan(
    request: PageRequest, protocol_id: str, before: int, after: int, status: int = 200, typed: Pairs | None = None, faults: Any = ()
) -> Response[bytes]:
    """The page of a plan. `typed` is what was sent, if something is wrong with it."""
    principal, known, sent = principal_of(request), services_of(request).protocol_versions, typed or {}
    start = next(iter(sent.get("start", ())), request.query_params.get("after", ""))
    start = start if COURSE.fullmatch(start) else ""
    plan = await known.plan(principal, protocol_id, before, after, start)
    old = await known.one(principal, protocol_id, before)
    clean = [each.course for each in plan.moves if each.move.kind == "carries_over"]
    context: dict[str, Any] = {
        "protocol_id": protocol_id,
        "before": before,
        "after": after,
        "start": start,
        "names": _names(old.protocol),
        "plan": plan,
        "kinds": KINDS,
        "chosen": clean if typed is None else sent.get("courses", ()),
        "reason": next(iter(sent.get("reason", ())), ""),
        "faults": faults,
        "moves": policy.may(principal, "change a course") and bool(plan.moves),
    }
    return page(request, "admin/move_plan.html", status, **context)


@post(f"{ALL}/{{protocol_id:str}}/{{before:int}}/move/{{after:int}}", include_in_schema=False, status_code=200)
async def move(request: PageRequest, protocol_id: FromPath[str], before: FromPath[int], after: FromPath[int]) -> Response[bytes]:
    """Moves the chosen courses. The page says what became of each."""
    principal, typed = principal_of(request), (await sent_form(request)).pairs
    await services_of(request).protocol_versions.require_mover(principal)
    found = read(MoveOrder, {name: typed.get(name, ()) for name in FAULTS}, reader().zone)
    if found.faults:
        names = [name for name in FAULTS if any(fault.name == name for fault in found.faults)]
        return await _plan(request, protocol_id, before, after, 422, typed, [(_(FAULTS[name]), f"f-{name}") for name in names])
    order = shaped(MoveOrder, found.data)
    results = await services_of(request).protocol_versions.move(principal, protocol_id, before, after, order)
    versions: dict[str, Any] = {"protocol_id": protocol_id, "before": before, "after": after}
    return page(request, "admin/moved.html", results=results, became=BECAME, **versions)


FAULTS = {"reason": noted("Say why they are moved."), "courses": noted("Choose at least one course.")}
HANDLERS = (protocols, protocol, differences, proof, move_plan, move)
