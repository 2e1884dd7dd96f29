"""The fold: from accepted triggers to a course. It applies and never judges.

Entries chain in the order in which they were recorded. They fold in the order in which they occurred, ties by seq. `timeline` puts them
in that order, each amendment in the place of the entry that it supersedes. `fold` applies them one by one.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from ipt_workflow.course.course import Course
from ipt_workflow.course.effects.apply import apply
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.triggers import ENDINGS, MOVES
from ipt_workflow.values.types import RISK_LEVELS

replace = msgspec.structs.replace
NOTE = "note"  # a contradicted change of protocol, and risk that an amendment took back, are applied as notes


class PlacedFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in its place, which is that of the entry `root`. The fact is this entry, or the last amendment of it."""

    root: int
    fact: Fact
    contradicted: bool = False


SortKey = tuple[dt.datetime, int, int]


def sort_key(seq: int, at: dt.datetime, session: int | None, times: Mapping[int, dt.datetime]) -> SortKey:
    """The place of an entry: when it occurred, ties by seq. An entry about a session never comes before the session itself.

    `session` is the session that the entry names, if any. `times` are the times of the entries in force, by seq.
    """
    own = (at, seq, 0)
    if session is None or session not in times:
        return own
    return max(own, (times[session], session, seq))


def superseded_by(facts: Iterable[Fact]) -> dict[int, int]:
    """The seq of the entry that supersedes each entry. The last amendment wins. A move ends the chain of amendments."""
    known = tuple(facts)
    latest = _amended_by(known)
    for seq, move in moved_away(known).items():
        latest[to_amend(latest, seq)] = move
    return latest


def to_amend(amended: Mapping[int, int], seq: int) -> int:
    """The entry that an amendment of this one names: itself, or the last of its amendments. `amended` is that of `superseded_by`."""
    while seq in amended:
        seq = amended[seq]
    return seq


def _amended_by(facts: Iterable[Fact]) -> dict[int, int]:
    return {fact.data["supersedes"]: fact.seq for fact in facts if fact.trigger == "amend"}


def moved_away(facts: Iterable[Fact]) -> dict[int, int]:
    """The entries that a move made void, each with the seq of the move: those that it moved, and the signatures that it left."""
    moves = (fact for fact in facts if fact.trigger == "move_entries")
    return {seq: fact.seq for fact in moves for seq in (*(each["from"] for each in fact.data["moved"]), *fact.data["left"])}


def current_facts(facts: Sequence[Fact]) -> dict[int, Fact | None]:
    """The present fact of every entry that is not an amendment, or None if the entry is void."""
    by_seq = {fact.seq: fact for fact in facts}
    amended, gone = _amended_by(facts), moved_away(facts)
    current_by_seq: dict[int, Fact | None] = {}
    for fact in facts:
        if fact.trigger == "amend":
            continue
        current = _after(fact, _amendments(fact.seq, by_seq, amended))
        current_by_seq[fact.seq] = None if fact.seq in gone else current
    return current_by_seq


def _amendments(seq: int, by_seq: dict[int, Fact], amended: dict[int, int]) -> list[Fact]:
    """The amendments of an entry, in the order in which they were recorded."""
    chain = []
    while (seq := amended.get(seq, 0)) in by_seq:
        chain.append(by_seq[seq])
    return chain


def _after(original: Fact, chain: Sequence[Fact]) -> Fact | None:
    """An entry's fact after these amendments, or None if it is void. A voided amendment is none, unless the whole entry was made void."""
    in_force = list(chain)
    while len(in_force) > 1 and in_force[-1].data.get("void") and not in_force[-1].data.get("whole"):
        in_force = in_force[:-2]
    current: Fact | None = original
    for amendment in in_force:
        current = amend(original, current, amendment)
    return current


def versions(facts: Sequence[Fact]) -> dict[int, list[tuple[Fact, Fact | None]]]:
    """Every entry that is no amendment, with each fact about it in the order of recording, and what the entry was after it: None if void."""
    by_seq, amended = {fact.seq: fact for fact in facts}, _amended_by(facts)
    found: dict[int, list[tuple[Fact, Fact | None]]] = {}
    for fact in facts:
        if fact.trigger != "amend":
            chain = _amendments(fact.seq, by_seq, amended)
            found[fact.seq] = [(fact, fact), *((each, _after(fact, chain[: at + 1])) for at, each in enumerate(chain))]
    return found


def amend(original: Fact, current: Fact | None, amendment: Fact) -> Fact | None:
    """An entry's fact after an amendment, or None if it is void. It keeps its seq, by which others name it."""
    if amendment.data.get("void"):
        return None
    base = current or original
    occurred_at = amendment.data.get("occurred_at")
    return replace(
        base,
        data=amendment.data.get("data", base.data),
        overridden=tuple(dict.fromkeys((*base.overridden, *amendment.overridden))),
        occurred_at=msgspec.convert(occurred_at, dt.datetime) if occurred_at else base.occurred_at,
    )


def timeline(facts: Sequence[Fact], *, as_of: dt.datetime | None = None) -> list[PlacedFact]:
    """The facts in force, in the order in which they occurred; up to `as_of` if it is given."""
    in_force = {seq: fact for seq, fact in current_facts(facts).items() if fact is not None}
    times = {seq: fact.occurred_at for seq, fact in in_force.items()}

    def place(each: PlacedFact) -> SortKey:
        return sort_key(each.root, each.fact.occurred_at, each.fact.data.get("session"), times)

    placed = [*(PlacedFact(root=seq, fact=fact) for seq, fact in in_force.items()), *risk_once_seen(facts)]
    placed.sort(key=place)
    undone = _reopened_endings(placed)
    placed = [replace(each, fact=_without_effect(each.fact)) if each.root in undone else each for each in placed]
    acting = [each for each in placed if as_of is None or place(each)[0] <= as_of]
    contradicted = {seq for each in acting for seq in each.fact.contradicts}
    return [replace(each, contradicted=True) if each.root in contradicted else each for each in acting]


def risk_once_seen(facts: Sequence[Fact], amended_now: Collection[int] = ()) -> list[PlacedFact]:
    """The evidence of risk in every version of the amended entries, as notes in its place: an amendment never takes back a review owed.

    A version counts as recorded when its amendment was. `amended_now` are entries that are about to be amended. An entry that moved took
    its evidence with it.
    """
    amended, gone = _amended_by(facts), moved_away(facts)
    if not amended and not amended_now:
        return []
    by_seq, in_force = {fact.seq: fact for fact in facts}, current_facts(facts)
    seen: list[PlacedFact] = []
    for fact in facts:
        if fact.trigger == "amend" or fact.seq in gone or not (fact.seq in amended or fact.seq in amended_now):
            continue
        versions = [fact]
        seq = fact.seq
        while (seq := amended.get(seq, 0)) in by_seq:
            later = amend(fact, versions[-1], by_seq[seq])
            versions += [replace(later, recorded_at=by_seq[seq].recorded_at)] if later else []
        for number, each in enumerate(versions):
            at = each.risk_seen_at
            if at:
                raised = _raised(each, versions[:number], in_force[fact.seq])
                data = {"risk": True, "taken_at": at.isoformat(), **raised}
                note = replace(each, trigger=NOTE, overridden=(), contradicts=(), data=data)
                seen.append(PlacedFact(root=fact.seq, fact=note))
    return seen


def _raised(version: Fact, earlier: Sequence[Fact], in_force: Fact | None) -> dict[str, str]:
    """The level to which an amendment in force raised the risk: no earlier review knew it."""
    if version.trigger != "raise_risk" or in_force is None or version.data != in_force.data:
        return {}
    level: str = version.data["level"]
    higher = all(RISK_LEVELS.index(each.data["level"]) < RISK_LEVELS.index(level) for each in earlier)
    return {"level": level} if earlier and higher else {}


def _without_effect(fact: Fact) -> Fact:
    return replace(fact, trigger=NOTE, contradicts=(), data={})


def _reopened_endings(placed: Sequence[PlacedFact]) -> set[int]:
    """Endings that were taken back, and what took them back. Neither has an effect: the course went on as if it had never ended.

    A reopening takes back the last ending before it that was on record when it was recorded.
    """
    undone: set[int] = set()
    for place, each in enumerate(placed):
        if each.fact.trigger == "reopen":
            before = (earlier for earlier in reversed(placed[:place]) if earlier.fact.trigger in ENDINGS)
            ending = next((earlier for earlier in before if earlier.root < each.root and earlier.root not in undone), None)
            undone |= {ending.root, each.root} if ending else set()
    return undone


def pinned_at(facts: Sequence[Fact], at: dt.datetime) -> str | None:
    """The digest of the protocol that a course had at a moment; None if it never had another."""
    moves = sorted((fact.occurred_at, fact.seq, fact) for fact in facts if fact.trigger in MOVES)
    if not moves:
        return None
    then = [fact for occurred_at, _, fact in moves if occurred_at <= at]
    pinned: str = (then[-1] if then else facts[0]).data["protocol_digest"]
    return pinned


def contradictions(facts: Sequence[Fact]) -> dict[int, int]:
    """The entries in force that another entry contradicts, each with the seq of that entry."""
    if not any(fact.contradicts for fact in facts):
        return {}
    acting = timeline(facts)
    roots = {each.root for each in acting}
    return {seq: each.fact.seq for each in acting for seq in each.fact.contradicts if seq in roots}


def fold(facts: Sequence[Fact], *, as_of: dt.datetime | None = None) -> Course | None:
    """The course that results from these facts; None if it had not been opened by `as_of`."""
    course: Course | None = None
    for placed in timeline(facts, as_of=as_of):
        course = step(course, placed)
    if course is None:
        return None
    known = [fact for fact in facts if as_of is None or fact.occurred_at <= as_of]
    return with_journal_facts(_taken_up(course, known), facts)


def _taken_up(course: Course, facts: Iterable[Fact]) -> Course:
    """A handed over course is taken up once its therapist records anything, whatever time that is dated to."""
    if course.handed_over_at is None:
        return course
    theirs = taken_up = False
    for fact in facts:
        if fact.trigger == "transfer":
            theirs = fact.data["therapist"] == course.therapist
        taken_up = theirs and (taken_up or fact.actor.person == course.therapist)
    return replace(course, handed_over_at=None) if taken_up else course


def with_journal_facts(course: Course, facts: Sequence[Fact]) -> Course:
    """The course with the facts that depend on the whole journal: its version, its last recorded time and its contradictions."""
    return replace(
        course,
        version=max(fact.seq for fact in facts),
        last_recorded_at=max(fact.recorded_at for fact in facts),
        contradicted=tuple(sorted(contradictions(facts))),
    )


def step(course: Course | None, placed: PlacedFact) -> Course:
    """Applies one fact. A contradicted fact keeps its data, but changes neither the state of the course nor its protocol."""
    if placed.contradicted and course is not None:
        fact = replace(placed.fact, trigger=NOTE) if placed.fact.trigger in MOVES else placed.fact
        return replace(apply(course, fact), state=course.state, phase=course.phase, ending=course.ending)
    return apply(course, placed.fact)
