"""Rules about correcting the record."""

from ipt_workflow.course import triggers
from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts, superseded_by
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.course.rules.episode import with_supervisor
from ipt_workflow.errors import Refusal


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
    """An entry of this course, not superseded yet; endings are taken back by `reopen`, and `refer` cannot be voided."""
    seq = case.data["supersedes"]
    fact, root = superseded(case), amended_root(case.context.history, seq)
    if fact is None or root is None:
        return case.stands(f"Entry {seq} is no entry of this course.", current=seq, required="an entry of this course")
    by = superseded_by(case.context.history).get(seq)
    if by is not None:
        return case.stands(
            f"Entry {seq} has been superseded. Amend entry {by} instead.", current=f"superseded by {by}", required=by
        )
    if root.trigger in triggers.ENDINGS:
        return case.stands(
            "An ending is not amended but taken back.", current=root.trigger, required="reopen", remedies=("reopen",)
        )
    if root.trigger in triggers.NOT_AMENDABLE:
        return case.stands(
            f"{root.trigger} is put right by another {root.trigger}.", current=root.trigger, required="another trigger"
        )
    if root.trigger in triggers.OPENINGS and case.data.get("void"):
        return case.stands("What opened the course cannot be voided.", current=root.trigger, required="`data` or `occurred_at`")
    return None


@rule(source="machine.md, amend")
def amendment_agreed(case: Case) -> Refusal | None:
    """A therapist amends their own entries; state changes, risk, consent, overrides and others' entries need a supervisor.

    So does what an EHR would change once it has been signed, or once risk was seen in it.
    """
    fact, root = superseded(case), amended_root(case.context.history, case.data["supersedes"])
    if fact is None or root is None or supervisor_of(case.context):
        return None
    row = triggers.row_of(root.trigger)
    kinds = {
        "another person's entry": fact.actor.person != case.context.actor.person,
        "a change of state": row is not None and row.changes_state,
        "risk or consent": root.trigger in triggers.AMENDED_WITH_SUPERVISOR,
        "an override": bool(root.overridden),
    }
    if case.context.actor.role == "ehr":
        session, said = case.course.session(root.seq), current_facts(case.context.history).get(root.seq)
        kinds |= {
            "a signed session": session is not None and session.signed,
            "a risk that was seen": said is not None and bool(said.data.get("risk")),
        }
    reasons = [kind for kind, applies in kinds.items() if applies]
    if not reasons:
        return None
    return with_supervisor(
        case,
        f"Amending {' and '.join(reasons)} needs a supervisor.",
        current=reasons,
        required="a supervisor, or a proposal that one cosigns",
    )
