"""Rules about correcting the record."""

from ipt_workflow.course import triggers
from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts, moved_away, superseded_by
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal

# Why an amendment needs a supervisor: the code, and the words of `current`.
REASONS = {
    "entry_of_another_person": "another person's entry",
    "change_of_state": "a change of state",
    "risk_or_consent": "risk or consent",
    "override": "an override",
    "signed_session": "a signed session",
    "risk_that_was_seen": "a risk that was seen",
}


def superseded(case: Case) -> Fact | None:
    """The entry that an amendment names."""
    return next((fact for fact in case.context.history if fact.seq == case.data["supersedes"]), None)


def amended_root(history: tuple[Fact, ...], seq: int) -> Fact | None:
    """The entry at the bottom of a chain of amendments."""
    by_seq = {fact.seq: fact for fact in history}
    fact = by_seq.get(seq)
    while fact and fact.trigger == "amend":
        fact = by_seq.get(fact.data["supersedes"])
    return fact


@rule(source="machine.md, Time")
def entry_amendable(case: Case) -> Refusal | None:
    """The entry belongs to this course and is not superseded yet. Of an ending only the time is amended, and `refer` cannot be voided."""
    seq = case.data["supersedes"]
    fact, root = superseded(case), amended_root(case.context.history, seq)
    if fact is None or root is None:
        return case.refuses("entry_amendable.unknown", current=seq, required="an entry of this course", entry=seq)
    if root.seq in moved_away(case.context.history):
        return case.refuses("entry_amendable.moved", current="moved", required="an entry in force", entry=seq)
    latest = superseded_by(case.context.history).get(seq)
    if latest is not None:
        current = f"superseded by {latest}"
        return case.refuses("entry_amendable.superseded", current=current, required=latest, entry=seq, latest=latest)
    if root.trigger in triggers.ENDINGS:
        return _of_ending(case, fact, root)
    if root.trigger in triggers.NOT_AMENDABLE:
        return case.refuses("entry_amendable.fire_again", current=root.trigger, required="another trigger", trigger=root.trigger)
    if root.trigger in triggers.OPENINGS and case.data.get("void"):
        return case.refuses("entry_amendable.opening", current=root.trigger, required="`data` or `occurred_at`")
    return None


def _of_ending(case: Case, fact: Fact, root: Fact) -> Refusal | None:
    """The refusal of an amendment of an ending, unless it corrects the mere time of the one that holds."""
    if case.course.ending is None or case.course.ending.recorded_at != root.recorded_at:
        return case.refuses("entry_amendable.reopened", current=root.trigger, required="an ending that holds")
    if _of_time_alone(case, fact):
        return None
    return case.refuses("entry_amendable.ending", current=root.trigger, required="`occurred_at` alone", remedies=("reopen",))


def _of_time_alone(case: Case, fact: Fact) -> bool:
    """Whether an amendment of this entry changes its time and nothing else, or takes back one that did."""
    if case.data.get("void"):
        return fact.trigger == "amend" and not {"data", "void"} & set(fact.data) and not case.data.get("whole")
    return "data" not in case.data


def needs_supervisor(case: Case, fact: Fact, root: Fact) -> dict[str, bool]:
    """Why the correction of an entry needs a supervisor, by reason. `root` is the entry, `fact` the latest of its amendments."""
    row, amended = triggers.row_of(root.trigger), current_facts(case.context.history).get(root.seq)
    return {
        "entry_of_another_person": fact.actor.person != case.context.actor.person,
        "change_of_state": row is not None and row.changes_state and not _of_time_alone(case, fact),
        "risk_or_consent": root.trigger in triggers.AMENDED_WITH_SUPERVISOR,
        "override": bool(root.overridden),
        "risk_that_was_seen": amended is not None and bool(amended.data.get("risk")),
    }


@rule(source="machine.md, amend")
def amendment_agreed(case: Case) -> Refusal | None:
    """A therapist amends their own entries. Changes of state, risk, consent, overrides and entries of others need a supervisor.

    The mere time of their own change of state a therapist corrects alone: it still meets every structural rule.

    So does a measure or a contact in which risk was seen, and by an EHR a signed session.
    """
    fact, root = superseded(case), amended_root(case.context.history, case.data["supersedes"])
    if fact is None or root is None or supervisor_of(case.context):
        return None
    applies = needs_supervisor(case, fact, root)
    if case.context.actor.role == "ehr":
        session = case.course.session(root.seq)
        applies["signed_session"] = session is not None and session.signed
    reasons = tuple(reason for reason in REASONS if applies.get(reason))
    if not reasons:
        return None
    return case.needs_supervisor(
        "amendment_agreed",
        current=[REASONS[reason] for reason in reasons],
        required="a supervisor, or a proposal that one cosigns",
        reasons=reasons,
    )
