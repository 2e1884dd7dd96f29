"""A course with many kinds of steps: each is shown in words and has a form, also to readers from whom its texts are kept, or erased."""

import pytest
from support import pages, service_walk

from ipt_workflow.access.relations import AccessRules

WALKED = (*service_walk.A_DOZEN, "assign_sick_role", "select_focus", "agree_contract", "note", "raise_risk", "book_session")


@pytest.fixture
def walked(browse):
    """Runs `test(site, therapist, course)` on a course with many kinds of steps."""

    def run(test):
        async def inside(site):
            api = await site.api()
            course = (await api.open())["id"]
            await api.walk(course, *WALKED)
            return await test(site, await site.visitor("therapist-1", "therapist"), course)

        return browse(inside)

    return run


def test_every_step_reads_in_words_without_a_code_of_the_machine(walked, axe, picture):
    async def test(site, therapist, course):
        await therapist.open(f"/courses/{course}/history")
        assert therapist.status == 200
        for word in ("trigger", "void", "amend", "entry", "phq9", "assign_sick_role", "role_transition"):
            assert word not in therapist.text.lower(), word
        axe(therapist)
        picture(therapist, "history-whole")

    walked(test)


def test_a_form_that_is_sent_as_it_was_shown_changes_nothing_whatever_the_step(walked):
    async def test(site, therapist, course):
        for seq in range(1, len(WALKED) + 2):
            await therapist.open(f"/courses/{course}/history/{seq}/put-right")
            assert therapist.status == 200, seq
            therapist.choose("It happened, but not so", "What is to happen?").fill("What was wrong?", "Nothing")
            await therapist.press("Show what would change")
            assert therapist.status == 422, (seq, therapist.text)
            assert [error for error in therapist.errors if "Nothing is changed." not in error] == [], (seq, therapist.errors)

    walked(test)


def test_an_auditor_from_whom_texts_are_kept_sees_that_and_no_text(walked):
    async def test(site, therapist, course):
        site.clinic.access_rules = AccessRules(auditor_text="never")
        auditor = await site.visitor("auditor-1", "auditor")
        await auditor.open(f"/courses/{course}/history")
        assert auditor.status == 200
        assert "Its texts are not shown to you." in auditor.text
        await therapist.open(f"/courses/{course}/history")
        assert "Its texts are not shown to you." not in therapist.text

    walked(test)


def test_an_erased_history_still_says_what_happened_and_when(walked, settings, axe):
    async def test(site, therapist, course):
        pages.erase_course(settings.database_url, course)
        await therapist.open(f"/courses/{course}/history")
        assert (therapist.status, therapist.heading) == (200, "History")
        assert "Its texts were erased." in therapist.text
        axe(therapist)
        await therapist.open(f"/courses/{course}/history/2/put-right")
        assert therapist.status == 200

    walked(test)


def test_the_history_and_the_audit_speak_german(walked):
    async def test(site, therapist, course):
        leser = await site.visitor("supervisor-1", "supervisor", language="de")
        await leser.open(f"/courses/{course}/history")
        assert leser.heading == "Verlauf"
        await leser.open("/audit")
        assert "Wer eine Person gesehen hat, und warum" in leser.links()

    walked(test)
