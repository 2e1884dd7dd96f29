"""Drafts: kept for who wrote them, sealed, and gone with what they are about."""

import pytest
from cryptography.fernet import Fernet
from support import databases, pages
from support.http_client import OPERATOR
from support.service_walk import START, THERAPIST, open_course, with_clinic

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.service.access.people import People, PersonChange
from ipt_workflow.service.drafts import DraftLine, Drafts

WORDS = (("summary", "She spoke of her brother."), ("technique", "role_play"), ("technique", "affect"))
STRANGER = Principal(person="therapist-2", role="therapist")
SUPERVISOR = Principal(person="supervisor-1", role="supervisor")
AUDITOR = Principal(person="auditor-1", role="auditor")
KEPT = "SELECT sealed FROM draft"


def test_a_draft_comes_back_as_it_was_and_only_to_who_wrote_it(settings):
    async def work(clinic):
        course, drafts = await open_course(clinic), Drafts(clinic)
        await drafts.save(THERAPIST, course, "session", WORDS)
        found = await drafts.find(THERAPIST, course, "session")
        assert (found.pairs, found.saved_at) == (WORDS, START)
        assert await drafts.mine(THERAPIST) == [DraftLine(course=course, form="session", saved_at=START)]
        assert await drafts.find(SUPERVISOR, course, "session") is None
        assert await drafts.mine(SUPERVISOR) == []

    with_clinic(settings, work)


def test_nobody_finds_or_saves_a_draft_on_a_course_that_they_may_not_see(settings):
    async def work(clinic):
        course, drafts = await open_course(clinic), Drafts(clinic)
        for refused in (drafts.save(STRANGER, course, "session", WORDS), drafts.find(STRANGER, course, "session")):
            with pytest.raises(NotFound):
                await refused
        with pytest.raises(Forbidden):
            await drafts.save(AUDITOR, course, "session", WORDS)

    with_clinic(settings, work)


@pytest.mark.parametrize("form", ["", "../session", "session/1/2/3", "Session", "do/" + "x" * 80, "session\n"])
def test_a_form_is_named_by_a_path_of_small_letters(settings, form):
    async def work(clinic):
        with pytest.raises(NotFound):
            await Drafts(clinic).save(THERAPIST, await open_course(clinic), form, WORDS)

    with_clinic(settings, work)


def test_neither_journal_nor_audit_log_has_a_draft(settings):
    async def work(clinic):
        drafts = Drafts(clinic)
        await drafts.save(THERAPIST, course, "session", WORDS)
        await drafts.find(THERAPIST, course, "session")
        await drafts.drop(THERAPIST, course, "session")
        assert await drafts.find(THERAPIST, course, "session") is None

    course, counts = with_clinic(settings, open_course), "SELECT count(*) FROM audit_event UNION ALL SELECT count(*) FROM entry"
    before = databases.select(settings, counts)
    with_clinic(settings, work)
    assert databases.select(settings, counts) == before


def test_with_secret_keys_the_database_does_not_show_what_a_draft_says(settings):
    keyed = settings.model_copy(update={"secret_keys": Fernet.generate_key().decode()})

    async def keep(clinic):
        course = await open_course(clinic)
        await Drafts(clinic).save(THERAPIST, course, "session", WORDS)
        assert (await Drafts(clinic).find(THERAPIST, course, "session")).pairs == WORDS
        return course

    course = with_clinic(keyed, keep)
    assert b"brother" not in bytes(databases.select(settings, KEPT)[0][0])

    async def without_the_key(clinic):
        assert await Drafts(clinic).find(THERAPIST, course, "session") is None

    with_clinic(settings, without_the_key)


def test_who_leaves_leaves_no_draft(settings):
    async def work(clinic):
        course = await open_course(clinic)
        await Drafts(clinic).save(THERAPIST, course, "session", WORDS)
        departure = await People(clinic).leave(OPERATOR, THERAPIST.person)
        assert departure.ended["drafts"] == 1

    with_clinic(settings, work)
    assert databases.select(settings, KEPT) == []


def test_who_becomes_a_supervisor_alone_leaves_no_draft(settings):
    async def work(clinic):
        await Drafts(clinic).save(THERAPIST, await open_course(clinic), "session", WORDS)
        await People(clinic).change(OPERATOR, THERAPIST.person, lambda: PersonChange(roles=("supervisor",)))

    with_clinic(settings, work)
    assert databases.select(settings, KEPT) == []


@pytest.mark.parametrize(("roles", "left"), [(("therapist", "supervisor"), 1), (("admin", "supervisor"), 0)])
def test_who_is_no_supervisor_any_more_has_drafts_as_a_therapist_alone(settings, roles, left):
    async def work(clinic):
        staff, course = People(clinic), await open_course(clinic)
        await staff.change(OPERATOR, SUPERVISOR.person, lambda: PersonChange(roles=roles))
        await Drafts(clinic).save(SUPERVISOR, course, "do/review_risk", WORDS)
        await staff.change(OPERATOR, SUPERVISOR.person, lambda: PersonChange(roles=roles[:1]))

    with_clinic(settings, work)
    assert len(databases.select(settings, KEPT)) == left


def test_the_erasure_of_a_client_takes_the_drafts_about_them(settings):
    async def work(clinic):
        for ref in ("EHR-4711", "EHR-2"):
            await Drafts(clinic).save(THERAPIST, await open_course(clinic, ref), "session", WORDS)

    with_clinic(settings, work)
    pages.erase(settings.database_url)
    assert len(databases.select(settings, KEPT)) == 1
