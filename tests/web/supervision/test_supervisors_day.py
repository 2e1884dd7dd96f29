"""A supervisor's day in a real browser, without scripts: two people agree on a request, an emergency is reviewed, and a meeting recorded."""

from support.http_client import OPERATOR
from support.service_walk import open_course
from support.service_walk import walk as steps

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.people import People, PersonChange
from ipt_workflow.store import people


async def prepared(walkers) -> str:
    """A course of therapist-1, whom supervisor-1 supervises."""
    clinic = walkers.clinic
    for person, role in (("therapist-1", "therapist"), ("supervisor-1", "supervisor")):
        await clinic.write(people.make_known, person, role, clinic.clock.now())
    await People(clinic).change(OPERATOR, "therapist-1", lambda: PersonChange(supervisors=("supervisor-1",)))
    course = await open_course(clinic)
    await steps(clinic, course, "record_consent", "start")
    return course


def test_two_people_agree_on_what_one_of_them_may_not_do_alone(walk):
    async def test(walkers):
        course = await prepared(walkers)
        therapist = await walkers.hands("therapist-1")
        supervisor = await walkers.hands("supervisor-1", "supervisor")
        await therapist.open(f"/courses/{course}/do/waive_sick_role")
        await therapist.fill("Why is the sick role left out?", "The client works.")
        await therapist.press("Do without the sick role")
        await therapist.press("Ask a supervisor to agree")
        assert therapist.path == f"/courses/{course}"

        await supervisor.open("/")
        await supervisor.follow("Look and decide: EHR-1")
        await supervisor.fill("What should be revised?", "Say how the client will recover.")
        await supervisor.press("Return for revision")

        await therapist.open("/")
        await therapist.follow("Do without the sick role: EHR-1")
        assert "Say how the client will recover." in await therapist.text()
        await therapist.follow("Revise it and ask again")
        await therapist.fill("Why is the sick role left out?", "Work itself is what helps the client.")
        await therapist.press("Do without the sick role")
        await therapist.press("Ask a supervisor to agree")

        await supervisor.open("/supervision/agreements")
        await supervisor.follow("Look and decide: EHR-1, Do without the sick role")
        assert "Work itself is what helps the client." in await supervisor.text()
        await supervisor.press("Agree")
        assert supervisor.path == f"/courses/{course}"
        entry = (await walkers.clinic.entries(course))[-1].written
        assert (entry.trigger, entry.actor.person, entry.cosigned_by) == ("waive_sick_role", "therapist-1", "supervisor-1")

    walk(test)


def test_a_supervisor_gets_through_the_day_without_scripts(walk):
    async def test(walkers):
        course = await prepared(walkers)
        duty = Principal(person="therapist-9", role="therapist", session="0" * 16, authenticated_at=walkers.clinic.clock.now())
        new = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called.")
        await EmergencyAccesses(walkers.clinic).start(duty, lambda: new)
        page = await walkers.hands("supervisor-1", "supervisor")
        await page.open("/")
        await page.follow("Review: therapist-9")
        await page.press("Record the review: therapist-9")
        await page.follow("Say whether it was justified.")
        await page.choose("It was justified")
        await page.press("Record the review: therapist-9")
        assert "No emergency access waits for a review." in await page.text()

        await page.open("/")
        await page.follow("The whole agenda")
        await page.choose("Discuss EHR-1")
        await page.press("Record supervision of these")
        await page.fill("Minutes", "50")
        await page.fill("What was discussed", "The dispute is stuck.", "EHR-1")
        await page.fill("What was agreed to do", "Bring the tape.", "EHR-1")
        await page.press("Record the meeting")
        assert "The dispute is stuck." in await page.text()
        await page.open("/supervision/agenda")
        assert "Bring the tape." in await page.text()
        await page.follow("EHR-1")
        assert page.path == f"/courses/{course}"

    walk(test)
