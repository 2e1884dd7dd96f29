"""Who had to do with a client and why, and which rules refused or were overridden."""

import datetime as dt

import pytest
from support import databases, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command, Override
from ipt_workflow.errors import Forbidden, NotFound, TransitionRefused
from ipt_workflow.service.access.restrictions import NewRestriction, Restrictions
from ipt_workflow.service.audit.sums import AuditSums
from ipt_workflow.service.reads import CourseReads

AUDITOR, SUPERVISOR, THERAPIST = service_walk.AUDITOR, service_walk.SUPERVISOR, service_walk.THERAPIST
OTHER = Principal(person="therapist-2", role="therapist")
SUPERVISOR_2 = Principal(person="supervisor-2", role="supervisor")
A_YEAR = dt.timedelta(days=365)


@pytest.fixture
def on_log(database_url):
    """Runs `ask(clinic, course, other)` on a course that several people read, and another."""

    def run(ask):
        async def work(clinic):
            course, other = [await service_walk.open_course(clinic, f"EHR-{number}") for number in range(2)]
            for _ in range(2):
                await CourseReads(clinic).course(SUPERVISOR, course)
            with pytest.raises(NotFound):
                await CourseReads(clinic).course(OTHER, course)
            for _ in range(3):
                with pytest.raises(TransitionRefused):
                    await service_walk.fire(clinic, course, Command("begin_middle", {}))
            with pytest.raises(TransitionRefused):
                await service_walk.fire(clinic, other, Command("start", {}))
            return await ask(clinic, course, other)

        return service_walk.with_clinic(databases.settings_of(database_url), work)

    return run


def between(clinic):
    return clinic.clock.now() - A_YEAR, clinic.clock.now() + A_YEAR


def test_who_saw_a_client_is_told_with_why_and_how_often(on_log):
    async def ask(clinic, course, other):
        courses = await AuditSums(clinic).courses_of(AUDITOR, "EHR-0")
        assert courses == (course,)
        found = await AuditSums(clinic).accesses(AUDITOR, courses)
        seen = {
            (each.person, each.kind, each.action): (each.times, each.basis, each.purpose, each.rules) for each in found.accesses
        }
        assert seen["supervisor-1", "read", "course"] == (2, "organisation", "HQUALIMP", None)
        assert seen["therapist-1", "transition", None] == (1, "own", "TREAT", None)
        assert seen["therapist-2", "refusal", "see a course"] == (1, None, "TREAT", "hidden")
        assert ("therapist-1", "refusal", "begin_middle") in seen
        assert not found.more

    on_log(ask)


def test_nobody_is_told_of_a_client_who_is_not_known_or_of_a_course_that_does_not_exist_for_them(on_log):
    async def ask(clinic, course, other):
        sums = AuditSums(clinic)
        assert await sums.courses_of(AUDITOR, "nobody") == ()
        assert (await sums.accesses(AUDITOR, ())).accesses == ()
        await Restrictions(clinic).restrict(SUPERVISOR, course, lambda: NewRestriction(people=(), reason="Works here"))
        hidden = await sums.accesses(SUPERVISOR_2, (course, other))
        assert hidden.courses == (other,)
        assert await sums.courses_of(SUPERVISOR_2, "EHR-0") == ()
        rules = {each.rule for each in (await sums.rules(SUPERVISOR_2, *between(clinic))).rules}
        assert "consent_given" in rules
        assert "state_allows" not in rules
        with pytest.raises(Forbidden):
            await sums.accesses(THERAPIST, (course,))

    on_log(ask)


def test_refusals_are_counted_by_rule_with_the_courses_they_were_about(on_log):
    async def ask(clinic, course, other):
        uses = {each.rule: each for each in (await AuditSums(clinic).rules(AUDITOR, *between(clinic))).rules}
        assert (uses["consent_given"].refused, uses["consent_given"].triggers) == (1, ("start",))
        state = uses["state_allows"]
        assert (state.refused, state.refused_courses, state.overridden, state.triggers) == (3, 1, 0, ("begin_middle",))
        assert uses["hidden"].refused == 1

    on_log(ask)


def test_overrides_are_counted_by_rule(on_log):
    async def ask(clinic, course, other):
        await service_walk.walk(clinic, course, *service_walk.A_DOZEN[:2])
        held = {"attendance": "5", "minutes": 50}
        for override in (None, Override(("overlaps_session",), "Two sessions in one afternoon")):
            await service_walk.fire(clinic, course, Command("record_session", held, clinic.clock.now(), None, override))
            clinic.clock.advance(dt.timedelta(minutes=10))
        uses = {each.rule: each for each in (await AuditSums(clinic).rules(SUPERVISOR, *between(clinic))).rules}
        found = uses["overlaps_session"]
        assert (found.overridden, found.overridden_courses, found.refused) == (1, 1, 0)
        nothing = await AuditSums(clinic).rules(SUPERVISOR, clinic.clock.now() + A_YEAR, clinic.clock.now() + 2 * A_YEAR)
        assert nothing.rules == ()

    on_log(ask)
