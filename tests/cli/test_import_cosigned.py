"""Lines of acts that a supervisor agreed to: their entries are those that cosigned proposals reach, and the same checks are made."""

import datetime as dt
from typing import Any

from support import databases, service_walk
from support.published import THERAPIST, WEEK, Line, Story, Telling

from ipt_workflow.course.triggers import Command
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.clinic import NOT_SEEN
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.writes import Opening, Write
from ipt_workflow.store import courses as stored_courses

FIRST = dt.datetime(2024, 1, 8, 10, 0, tzinfo=dt.UTC)
REASON = "One more session is needed."
AGREED = {"cosigned_by": {"person": "supervisor-1"}}


def begun() -> tuple[Story, Telling]:
    story = Story()
    client = story.course("Client", "ipt", FIRST - WEEK, indication="depression")
    client.at(FIRST).tell("record_consent", scope="treatment")
    client.tell("start")
    return story, client.at(FIRST + WEEK)


def line(trigger: str = "extend_phase", **more: Any) -> Line:
    at = (FIRST + WEEK).isoformat()
    return {"course": "Client", "trigger": trigger, "occurred_at": at, "reason": REASON} | AGREED | more


def facts_of_the_last_entry(entries) -> tuple[Any, ...]:
    """The last entry without its ids, hashes and times of recording, and the way it came."""
    written, document = entries[-1].written, entries[-1].document
    return (
        written.seq, written.trigger, written.from_, written.to, written.actor.person, written.actor.role, written.cosigned_by,
        written.occurred_at, written.data, document.data, document.reason, document.override,
    )  # fmt: skip


def proposed_and_cosigned(folder) -> tuple[Any, ...]:
    """The same history as it happened, with a proposal."""
    clock = VirtualClock(FIRST - WEEK)

    async def work(clinic):
        source = {"source": "A published case", "indication": "depression"}
        opening = Opening(client_ref="Client", protocol="ipt", therapist=THERAPIST, data=source)
        course = (await Courses(clinic).open_course(service_walk.THERAPIST, lambda: opening)).course_id
        clock.set(FIRST)
        for command in (Command("record_consent", {"scope": "treatment"}), Command("start")):
            await service_walk.fire(clinic, course, command)
        clock.set(FIRST + WEEK)
        extend = Write(decode=lambda: (Command("extend_phase", reason=REASON),), triggers=("extend_phase",), version_required=False)
        proposal = await Proposals(clinic).propose(service_walk.THERAPIST, course, extend)
        await Proposals(clinic).cosign(service_walk.SUPERVISOR, proposal.id)
        return facts_of_the_last_entry(await clinic.entries(course))

    found: tuple[Any, ...] = service_walk.with_clinic(databases.empty(folder), work, clock)
    return found


def test_the_entry_is_the_one_that_a_cosigned_proposal_reaches(imported, tmp_path_factory):
    story, _ = begun()
    story.lines.append(line())
    assert imported(story)["accepted"] == len(story.lines)
    assert imported(story)["known"] == len(story.lines)

    async def last(clinic):
        (course,) = await clinic.read(stored_courses.course_ids, "", 9)
        return facts_of_the_last_entry(await clinic.entries(course))

    assert imported.read(last) == proposed_and_cosigned(tmp_path_factory.mktemp("proposed"))
    assert imported.rows()["proposal"] == 0


WRONG: tuple[tuple[Line, str], ...] = (
    (line(cosigned_by=None), "extend_phase refused: supervisor_agrees: "),
    (line(cosigned_by={"person": THERAPIST}), "may not decide their own proposal"),
    (line(cosigned_by={"person": "therapist-2", "role": "therapist"}), "role therapist may not decide proposals; supervisor may"),
    (line(cosigned_by={"person": "admin-1", "role": "admin"}), "role admin may not decide proposals"),
    (line(cosigned_by={"role": "supervisor"}), "cosigned_by.person: is required"),
    (line(cosigned_by="supervisor-1"), "cosigned_by: must be an object"),
    (line(person="therapist-2"), NOT_SEEN),
    (line(person="admin-1", role="admin"), "no such course"),
    (line("acknowledge_deviation", data={"session": 1}), "acknowledge_deviation"),
    (line("note", data={"text": "Rang."}), "trigger: note needs no co-signature here; fire it instead"),
    (line("begin_final"), "begin_final refused: state_allows: "),
    (line("extend_phase", reason=None), "reason"),
    (line("refer", client_ref="Other", course="Other"), "cosigned_by: belongs to a line of one trigger"),
    ({"course": "Client", "together": [{"trigger": "note"}]} | AGREED, "cosigned_by: belongs to a line of one trigger"),
)


def test_whatever_no_cosigned_proposal_would_reach_is_refused_with_the_reason(imported):
    story, _ = begun()
    right = len(story.lines)
    story.lines += [wrong for wrong, _ in WRONG]
    story.lines.append(line())
    report = imported(story)
    assert report["accepted"] == right + 1
    why = {each["line"]: each["why"] for each in report["refused"]}
    assert [(words, why[number]) for number, (_, words) in enumerate(WRONG, start=right + 1) if words not in why[number]] == []
    assert len(why) == len(WRONG)


def test_it_is_judged_on_the_course_as_it_is_at_its_line(imported):
    """A second extension is one too many, though a supervisor agrees, and what came before it stands."""
    story, _ = begun()
    story.lines += [line(), line(reason="One more still.")]
    (refused,) = imported(story)["refused"]
    assert (refused["line"], refused["why"].partition(":")[0]) == (len(story.lines), "extend_phase refused")
