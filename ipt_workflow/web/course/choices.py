"""What the fields of a form offer where the course or its form of IPT decides: sessions, people, problem areas, scales, times."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.rhythm import ACTIVITIES
from ipt_workflow.service.deeds import Colleague, DeedView, OpeningView
from ipt_workflow.service.views import SessionView
from ipt_workflow.values.types import ATTENDED
from ipt_workflow.web.forms import Choice, option_text
from ipt_workflow.web.forms.labels import codes_of
from ipt_workflow.web.language import _, gettext, moment

Choices = dict[str, Sequence[Choice]]


def coded(options: str, codes: Iterable[str]) -> tuple[Choice, ...]:
    """Codes as choices, in the words of their list."""
    return tuple(Choice(code, gettext(option_text(options, code))) for code in codes)


def staff(people: Iterable[Colleague], but: str | None = None) -> tuple[Choice, ...]:
    return tuple(Choice(each.id, each.name) for each in people if each.id != but)


def forms_of_ipt(protocols: Iterable[Protocol]) -> tuple[Choice, ...]:
    return tuple(Choice(each.id, gettext(each.title)) for each in protocols)


def sessions(found: Iterable[SessionView]) -> tuple[Choice, ...]:
    return tuple(
        Choice(
            str(each.seq), _("%(when)s: %(what)s", when=moment(each.at), what=gettext(option_text("attendance", each.attendance)))
        )
        for each in reversed(list(found))
    )


def _focus(view: DeedView) -> Choices:
    areas = coded("area", view.protocol.focus.areas)
    people = tuple(Choice(each.id, each.name or each.id, _("Has died") if each.deceased else "") for each in view.inventory)
    found: Choices = {"primary": areas, "people": people}
    if view.protocol.focus.max > 1:
        found["secondary"] = areas
    if view.protocol.focus.max > 2:
        found["further"] = areas
    return found


def _worked(view: DeedView) -> Choices:
    unsigned = [each for each in view.course.sessions if each.attendance in ATTENDED and not each.signed]
    return {
        "session": sessions(unsigned),
        "focus": coded("area", view.protocol.focus.areas),
        "techniques": coded("technique", codes_of("technique")),
    }


def _rhythm(view: DeedView) -> Choices:
    form = view.protocol.rhythm.instrument if view.protocol.rhythm else "srm5"
    activities = coded("activity", ACTIVITIES[form])
    return {"days.times": activities, "targets.activity": activities}


def _scales(view: DeedView) -> Choices:
    pinned = [key for spec in view.protocol.measures for key in spec.instruments]
    others = sorted(key for key in view.protocol.instruments if key not in pinned)
    return {
        "instrument": tuple(Choice(key, gettext(view.protocol.instruments[key].title)) for key in dict.fromkeys([*pinned, *others]))
    }


def _formulations(view: DeedView) -> Choices:
    versions = range(view.formulations, 0, -1)
    return {"version": tuple(Choice(str(each), _("Formulation %(number)s", number=each)) for each in versions)}


BY_TRIGGER: dict[str, Callable[[DeedView], Choices]] = {
    "start": lambda view: {
        "supervisor": staff(view.supervisors),
        "exclusions_checked": coded("exclusion", codes_of("exclusion")),
    },
    "sign_session": _worked,
    "attest_session": _worked,
    "link_session": lambda view: {"session": sessions(view.course.sessions)},
    "acknowledge_deviation": lambda view: {
        "session": sessions(each for each in view.course.sessions if each.kind == "additional" and not each.acknowledged)
    },
    "accept_formulation": _formulations,
    "select_focus": _focus,
    "change_focus": _focus,
    "record_measure": _scales,
    "record_rhythm": _rhythm,
    "set_rhythm_target": _rhythm,
    "record_supervision": lambda view: {"supervisor": staff(view.supervisors), "supervisees": staff(view.therapists)},
    "transfer": lambda view: {"therapist": staff(view.therapists, but=view.course.therapist)},
    "change_protocol": lambda view: {"protocol": forms_of_ipt(view.protocols)},
    "migrate_protocol": lambda view: {"protocol": forms_of_ipt([view.protocol])},
    "open_followup": lambda view: {"protocol": forms_of_ipt(view.protocols), "therapist": staff(view.therapists)},
}


def choices_of(trigger: str, view: DeedView) -> Choices:
    """The choices of a trigger's fields, by the names of the fields."""
    return BY_TRIGGER[trigger](view) if trigger in BY_TRIGGER else {}


def choices_to_open(view: OpeningView, protocol: Protocol | None = None) -> Choices:
    """The choices of an opening's fields, under one form of IPT or under any."""
    known = [protocol] if protocol else list(view.protocols)
    indications = sorted(
        {each for one in known for each in one.indications}, key=lambda code: gettext(option_text("indication", code))
    )
    areas = dict.fromkeys(area for one in known for area in one.focus.areas)
    phases = coded("state", dict.fromkeys(phase for one in known for phase in one.phase_ids))
    return {
        "protocol": forms_of_ipt(view.protocols),
        "therapist": staff(view.therapists),
        "indication": coded("indication", indications),
        "phase": phases,
        "attended": phases,
        "artefacts": coded("artefact", codes_of("artefact")),
        "focus.primary": coded("area", areas),
        "focus.secondary": coded("area", areas),
    }


def first_data(trigger: str, view: DeedView) -> dict[str, Any]:
    """What a form begins with, where the course knows it: what can hardly be otherwise, never a clinical judgement."""
    course, given = view.course, BY_TRIGGER[trigger](view) if trigger in BY_TRIGGER else {}
    if trigger in {"record_inventory", "record_formulation"}:
        return view.known
    if trigger == "start":
        return {"supervisor": course.supervisor or view.own_supervisor}
    if trigger == "record_supervision":
        return {"supervisor": course.supervisor or view.own_supervisor, "supervisees": [course.therapist]}
    if trigger == "accept_formulation":
        return {"version": view.formulations or None}
    if trigger == "migrate_protocol":
        return {
            "protocol": view.protocol.id,
            "protocol_version": max(each.version for each in view.protocols if each.id == view.protocol.id),
        }
    if trigger == "assign_sick_role" and view.protocol.sick_role.mode in {"full", "limited"}:
        return {"mode": view.protocol.sick_role.mode}
    if trigger == "set_rhythm_target" and course.rhythm:
        return {"targets": list(course.rhythm.targets)}
    if trigger in {"sign_session", "attest_session", "acknowledge_deviation"} and len(given["session"]) == 1:
        return {"session": int(given["session"][0].value), "focus": course.focus.primary if course.focus else None}
    if trigger == "sign_session":
        return {"focus": course.focus.primary if course.focus else None}
    return {}
