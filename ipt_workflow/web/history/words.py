"""A course's steps in words: what each says, what a correction changed in it, and where it stands."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.histories import HistoryView
from ipt_workflow.service.views import EntryView
from ipt_workflow.service.views.steps import StepVersion, StepView
from ipt_workflow.web import language
from ipt_workflow.web.audit.words import rule_title
from ipt_workflow.web.forms import Formats, SaidField, deed_label, option_text, said
from ipt_workflow.web.forms.shapes import shapes
from ipt_workflow.web.language import _, gettext, noted
from ipt_workflow.web.navigation import role_name

FORMATS: Formats = {"day": language.day, "moment": language.moment}
TRUTHS = frozenset({"tick", "yes_no"})
DID = {
    "recorded": noted("Recorded"),
    "corrected": noted("Put right"),
    "took_back": noted("Taken back"),
    "restored": noted("A correction was taken back"),
}
STATUS = {
    "in_force": "",
    "taken_back": noted("Taken back: it counts no longer"),
    "moved": noted("Moved to the right client"),
    "contradicted": noted("Something recorded later for an earlier time stands against it"),
}


class SaidChange(msgspec.Struct, frozen=True):
    """One field that differs. Nothing before, or nothing after, is empty."""

    label: str
    before: str
    after: str


class StepCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """A correction of a step: what was done, by whom and why, and what it changed."""

    title: str
    who: str
    at: dt.datetime
    reason: str
    agreed_by: str
    changes: tuple[SaidChange, ...]


class StepLine(msgspec.Struct, frozen=True, kw_only=True):
    """A step as people read it. `kept`: why its text is not shown, if it is not."""

    seq: int
    title: str
    at: dt.datetime
    recorded_at: dt.datetime
    who: str
    covered: str
    agreed_by: str
    reason: str
    passed_over: tuple[str, ...]
    why_passed_over: str
    status: str
    kept: str
    fields: tuple[SaidField, ...]
    corrections: tuple[StepCorrection, ...]
    movable: bool


def step_line(history: HistoryView, step: StepView) -> StepLine:
    first = step.first
    return StepLine(
        seq=step.seq,
        title=title_of(step.trigger),
        at=step.occurred_at,
        recorded_at=first.recorded_at,
        who=who(history, first),
        covered=history.name(first.on_behalf_of) if first.on_behalf_of else "",
        agreed_by=history.name(first.cosigned_by) if first.cosigned_by else "",
        reason=first.reason or "",
        passed_over=tuple(rule_title(rule) for rule in (first.override or {}).get("rules", ())),
        why_passed_over=(first.override or {}).get("reason", ""),
        status=_(STATUS[step.status]) if STATUS[step.status] else "",
        kept=_kept(first),
        fields=fields_of(history, step.trigger, _data(step)),
        corrections=tuple(
            _correction(history, step.trigger, before, after)
            for before, after in zip(step.versions, step.versions[1:], strict=False)
        ),
        movable=step.trigger in triggers.MOVABLE,
    )


def title_of(trigger: str) -> str:
    return gettext(deed_label(trigger).done)


def who(history: HistoryView, entry: EntryView) -> str:
    """`Mara Adler, therapist`."""
    return f"{history.name(entry.actor.person)}, {role_name(entry.actor.role)}"


def fields_of(history: HistoryView, trigger: str, data: Mapping[str, Any]) -> tuple[SaidField, ...]:
    """What was given with a step, field by field: scales by their titles, people by their names, sessions by their times."""
    row = triggers.row_of(trigger)
    if row is None:
        return ()
    truths = {shape.name for shape in shapes(row.payload) if shape.kind in TRUTHS}
    shown = {name: value for name, value in data.items() if value is not True or name in truths}  # of erased text: it was given
    named = {name: NAMED[name](history, value) if name in NAMED else value for name, value in shown.items()}
    return said(row.payload, named, FORMATS, gettext)


def scale_title(protocol: Protocol, instrument: str) -> str:
    """The title of a scale by its key, `phq9@1`, or its name."""
    known = {each.id: each.title for each in protocol.instruments.values()}
    found = protocol.instruments.get(instrument)
    return gettext(found.title if found else known.get(instrument, instrument))


def _session(history: HistoryView, seq: int) -> str:
    found = next((each for each in history.course.sessions if each.seq == seq), None)
    if found is None:
        return _("Step %(number)s", number=seq)
    return _("%(when)s: %(what)s", when=language.moment(found.at), what=gettext(option_text("attendance", found.attendance)))


NAMED: dict[str, Callable[[HistoryView, Any], str]] = {
    "instrument": lambda history, value: scale_title(history.protocol, str(value)),
    "session": _session,
    "therapist": lambda history, value: history.name(str(value)),
    "supervisor": lambda history, value: history.name(str(value)),
}


def changes(before: Iterable[SaidField], after: Iterable[SaidField]) -> tuple[SaidChange, ...]:
    """The fields that differ, in the order in which they are shown."""
    then, now = _flat(before), _flat(after)
    return tuple(
        SaidChange(label, then.get(label, ""), now.get(label, ""))
        for label in dict.fromkeys([*then, *now])
        if then.get(label) != now.get(label)
    )


def _flat(fields: Iterable[SaidField], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for each in fields:
        label = f"{above}{each.label}"
        if each.texts:
            found[label] = "\n".join(each.texts)
        found |= _flat(each.inner, f"{label}, ")
    return found


def _data(step: StepView) -> Mapping[str, Any]:
    return step.data if step.data is not None else step.first.structural


def _kept(entry: EntryView) -> str:
    if entry.masked:
        return _("Its texts are not shown to you.")
    return _("Its texts were erased.") if entry.erased else ""


def _correction(history: HistoryView, trigger: str, before: StepVersion, after: StepVersion) -> StepCorrection:
    entry = after.entry
    found = (
        list(changes(fields_of(history, trigger, before.data or {}), fields_of(history, trigger, after.data or {})))
        if after.data
        else []
    )
    if before.occurred_at and after.occurred_at and before.occurred_at != after.occurred_at:
        found.append(SaidChange(_("When it happened"), language.moment(before.occurred_at), language.moment(after.occurred_at)))
    return StepCorrection(
        title=_(DID[after.did]),
        who=who(history, entry),
        at=entry.recorded_at,
        reason=entry.reason or "",
        agreed_by=history.name(entry.cosigned_by) if entry.cosigned_by else "",
        changes=tuple(found),
    )
