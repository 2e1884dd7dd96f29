"""The page of one trigger: it opens, says everything that is wrong, keeps what was typed, and records the same as HTTP does."""

import datetime as dt

import pytest

from ipt_workflow.course import triggers

ELSEWHERE = {"amend", "move_entries"}
RHYTHM = {"record_rhythm", "set_rhythm_target"}
EVERY = [row.name for row in triggers.TABLE if row.name not in triggers.OPENINGS | ELSEWHERE | {triggers.PATTERN.name}]
SOME_PROTOCOL = dict.fromkeys(RHYTHM, "ipsrt") | {"record_review": "ipt-maintenance"}


def who_fires(site, trigger: str):
    row = triggers.row_of(trigger)
    assert row is not None
    role = "therapist" if "therapist" in row.roles else "supervisor"
    return site.visitor(f"{role}-1", role)


@pytest.mark.matrix(15)
@pytest.mark.parametrize("trigger", [*EVERY, "begin_middle", "begin_final"])
def test_every_trigger_has_a_page_that_everybody_can_use(browse, axe, trigger: str):
    async def test(site):
        api = await site.api()
        protocol = SOME_PROTOCOL.get(trigger, "ipt")
        course = (await api.open(protocol=protocol, data={"source": "General practitioner"}))["id"]
        page = await (await who_fires(site, trigger)).open(f"/courses/{course}/do/{trigger}")
        assert page.status == 200, page.text
        assert "EHR-1" not in page.title
        axe(page)

    browse(test)


@pytest.mark.parametrize("trigger", ["unheard_of", "refer", "begin_nothing", "record_rhythm"])
def test_what_the_form_of_ipt_does_not_have_is_no_page(browse, trigger: str):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        assert (await (await site.visitor()).open(f"/courses/{course}/do/{trigger}")).status == 404

    browse(test)


@pytest.mark.parametrize("trigger", ["unheard_of", "refer", "begin_nothing", "amend", "move_entries"])
def test_nothing_is_sent_to_a_page_that_there_is_not(browse, trigger: str):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/note")
        page.main.one("form").attributes["action"] = f"/courses/{course}/do/{trigger}"
        assert (await page.fill("Note", "x").press("Add the note")).status == 404

    browse(test)


def test_a_stranger_has_no_page_and_a_role_has_only_its_own(browse):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        stranger = await site.visitor("therapist-9")
        assert (await stranger.open(f"/courses/{course}/do/note")).status == 404
        therapist = await site.visitor()
        assert (await therapist.open(f"/courses/{course}/do/reopen")).status == 403
        auditor = await site.visitor("auditor-1", "auditor")
        assert (await auditor.open(f"/courses/{course}/do/note")).status == 403

    browse(test)


def test_a_good_form_is_recorded_and_leads_back_to_the_course(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/record_consent")
        page.choose("Treatment", "Consent to")
        await page.press("Record the consent")
        assert (page.path, page.status) == (f"/courses/{course}", 200)
        entry = (await api.get(f"/v1/courses/{course}/transitions/2")).json()
        assert (entry["trigger"], entry["data"], entry["actor"]) == (
            "record_consent",
            {"scope": "treatment"},
            {"person": "therapist-1", "role": "therapist", "via": "pages"},
        )

    browse(test)


def test_a_faulty_form_is_shown_again_with_every_fault_and_everything_that_was_typed(browse, axe):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        page = await (await site.visitor()).open(f"/courses/{course}/do/agree_contract")
        page.fill("Number of sessions", "a dozen").fill("Number of weeks", "0").fill("What to do in a crisis", "Call the ward.")
        await page.press("Agree the contract")
        assert page.status == 422
        assert page.title.startswith("Error:")
        assert page.errors == [
            "Number of sessions: Enter a whole number.",
            "Number of weeks: Enter a whole number from 1 to 260.",
            "Goals: Give at least one.",
        ]
        assert page.control("Number of sessions")["value"] == "a dozen"
        assert page.control("What to do in a crisis (optional)").text == "Call the ward."
        assert page.control("Days from session to session")["value"] == "7"
        targets = [link["href"].removeprefix("#") for link in page.tree.one(class_="govuk-error-summary").all("a")]
        assert [page.tree.one(id=each)["name"] for each in targets] == ["sessions", "weeks", "goals"]
        axe(page)

    browse(test)


def test_what_only_the_service_can_see_is_said_at_its_field_too(browse):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/raise_risk")
        await page.choose("Acute", "Risk").press("Raise the risk")
        assert page.status == 422
        assert page.errors == ["Plan: Fill this in: the risk is acute.", "Who was told: Fill this in: the risk is acute."]

    browse(test)


def test_a_time_in_the_future_is_refused_where_it_was_typed(browse):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/record_contact")
        page.fill("When it happened", "2030-01-01T10:00").choose("Crisis call", "Kind of contact")
        await page.press("Record the contact")
        assert page.errors == ["When it happened: This lies in the future. Enter a time that has passed."]

    browse(test)


def test_a_refused_form_says_why_and_links_what_to_do(browse, axe):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/start")
        assert "Not possible now, because" in page.text
        await page.press("Begin the first phase")
        assert page.status == 409
        assert "This is not recorded, because" in page.text
        axe(page)
        page.tree = page.main.one("section")
        await page.follow("Record consent")
        assert page.path == f"/courses/{course}/do/record_consent"

    browse(test)


def test_every_way_out_of_a_refusal_leads_to_a_page(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        page = await (await site.visitor()).open(f"/courses/{course}/do/begin_middle")
        await page.press("Begin the middle phase")
        ways = {href for text, href in page.links().items() if href.startswith(f"/courses/{course}/")}
        assert len(ways) >= 8
        for way in ways:
            assert (await page.open(way)).status == 200, way

    browse(test)


def test_what_the_next_phase_needs_is_listed_with_what_is_missing_first(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_evaluation")
        page = await (await site.visitor()).open(f"/courses/{course}/do/begin_middle")
        needs = [each.text for each in page.main.all("li", class_="govuk-task-list__item")]
        assert needs[0].startswith(
            "Enough sessions in this phase The sessions of the initial phase do not suffice yet: 0 of at least 1."
        ), needs
        assert [each.endswith("Done") for each in needs] == sorted(each.endswith("Done") for each in needs)
        assert "Diagnostic evaluation Done" in needs

    browse(test)


def test_a_page_speaks_german_to_whoever_reads_it(browse):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor(language="de")).open(f"/courses/{course}/do/raise_risk")
        await page.choose("Akut", "Risiko").press("Risiko melden")
        assert page.errors == [
            "Plan: Bitte ausfüllen: das Risiko ist akut.",
            "Wem es gesagt wurde: Bitte ausfüllen: das Risiko ist akut.",
        ]

    browse(test)


def test_what_was_refused_waits_as_a_draft_until_the_way_out_is_taken(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/start")
        await page.fill("Comment", "Begins next week.").press("Begin the first phase")
        assert page.status == 409
        await page.open(f"/courses/{course}/do/record_consent")
        await page.choose("Treatment", "Consent to").press("Record the consent")
        await page.open(f"/courses/{course}/do/start")
        assert "This is your draft of" in page.text
        assert page.control("Comment").text == "Begins next week."
        await page.press("Begin the first phase")
        assert page.path == f"/courses/{course}"
        assert "This is your draft of" not in (await page.open(f"/courses/{course}/do/start")).text

    browse(test)


def test_a_draft_is_discarded_where_it_is_not_wanted(browse):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/start")
        await page.fill("Comment", "Begins next week.").press("Begin the first phase")
        await page.open(f"/courses/{course}/do/start")
        await page.press("Discard draft")
        assert page.path == f"/courses/{course}/do/start"
        assert page.control("Comment").text == ""

    browse(test)


def test_what_is_sent_after_the_session_has_ended_is_there_after_signing_in(browse, clock):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/note")
        page.fill("Note", "An hour's work")
        clock.advance(dt.timedelta(minutes=16))
        await page.press("Add the note")
        again = await (await site.visitor()).open(f"/courses/{course}/do/note")
        assert again.control("Note").text == "An hour's work"

    browse(test)


def test_a_soft_refusal_asks_for_the_reason_and_goes_on(browse, axe):
    async def test(site):
        api = await site.api()
        course = (await api.open(data={"source": "General practitioner", "indication": "ptsd"}))["id"]
        await api.walk(course, "record_consent")
        page = await (await site.visitor()).open(f"/courses/{course}/do/start")
        page.choose("Yes, with reservations", "Does IPT fit this client?")
        await page.press("Begin the first phase")
        assert page.status == 409
        assert page.control("Yes, with reservations")["checked"] is not None
        axe(page)
        await page.press("Begin the first phase all the same")
        assert page.status == 422
        assert page.errors == ["Fill this in."]
        page.fill("Why do you go on all the same?", "The trauma is interpersonal.")
        await page.press("Begin the first phase")
        assert page.path == f"/courses/{course}"
        entry = (await api.get(f"/v1/courses/{course}/transitions/3")).json()
        assert entry["override"] == {"rules": ["indication_fits"], "reason": "The trauma is interpersonal."}

    browse(test)


def test_a_co_signature_becomes_a_proposal_by_one_button(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        page = await (await site.visitor()).open(f"/courses/{course}/do/waive_sick_role")
        page.fill("Why is the sick role left out?", "The client lives alone and works.")
        await page.press("Do without the sick role")
        assert page.status == 409
        await page.press("Ask a supervisor to agree")
        assert page.path == f"/courses/{course}"
        (proposal,) = (await api.get("/v1/proposals")).json()["items"]
        assert (proposal["trigger"], proposal["status"], proposal["course"]) == ("waive_sick_role", "waiting", course)

    browse(test)


def test_what_is_asked_of_a_supervisor_twice_by_one_form_waits_once(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        page = await (await site.visitor()).open(f"/courses/{course}/do/waive_sick_role")
        page.fill("Why is the sick role left out?", "The client lives alone and works.")
        await page.press("Do without the sick role")
        tree, url = page.tree, page.url
        for _ in range(2):
            page.tree, page.url = tree, url
            await page.press("Ask a supervisor to agree")
            assert page.path == f"/courses/{course}"
        assert len((await api.get("/v1/proposals")).json()["items"]) == 1

    browse(test)


def test_no_proposal_is_offered_where_a_supervisor_could_not_help(browse):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/start")
        await page.press("Begin the first phase")
        assert "Ask a supervisor to agree" not in page.buttons()

    browse(test)


def test_when_somebody_else_wrote_meanwhile_both_texts_are_kept(browse, axe):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        page = await (await site.visitor()).open(f"/courses/{course}/do/record_evaluation")
        page.fill("Diagnosis", "Depressive episode, mine")
        await api.fire(course, "record_evaluation", {"diagnosis": "Dysthymia, theirs"})
        await page.press("Record the evaluation")
        assert page.status == 412
        assert "Dysthymia, theirs" in page.text
        assert page.control("Diagnosis").text == "Depressive episode, mine"
        axe(page)
        await page.press("Record the evaluation")
        assert page.path == f"/courses/{course}"

    browse(test)


def test_a_form_that_is_sent_twice_is_recorded_once(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/note")
        page.fill("Note", "Once.")
        tree, values = page.tree, page._values
        await page.press("Add the note")
        page.tree, page._values = tree, values
        await page.press("Add the note")
        assert page.path == f"/courses/{course}"
        assert await api.version(course) == 2
        page.tree, page._values = tree, {}
        await page.fill("Note", "Twice, with other words.").press("Add the note")
        assert page.status == 409
        assert page.control("Note").text == "Twice, with other words."

    browse(test)


def test_a_row_is_added_without_a_script_and_nothing_is_recorded(browse, axe):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        page = await (await site.visitor()).open(f"/courses/{course}/do/record_timeline")
        page.fill("When", "spring").fill("What happened", "The move")
        await page.press("Add an event")
        assert (page.status, page.errors) == (200, [])
        page.fill("When", "summer", "Event 2").fill("What happened", "The quarrel", "Event 2")
        axe(page)
        await page.press("Record the timeline")
        assert page.path == f"/courses/{course}"
        entry = (await api.get(f"/v1/courses/{course}/transitions/4")).json()
        assert entry["data"]["events"] == [{"when": "spring", "event": "The move"}, {"when": "summer", "event": "The quarrel"}]

    browse(test)


def test_a_faulty_row_is_named_in_the_summary(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/do/record_timeline")
        await page.fill("When", "spring").press("Record the timeline")
        assert page.errors == ["Event 1, What happened: Fill this in."]

    browse(test)


@pytest.mark.parametrize("trigger", ["record_consent", "begin_middle"])
def test_a_page_asks_the_database_as_often_however_many_courses_there_are(browse, statements, trigger: str):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        page = await site.visitor()
        await api.walk(course, "record_consent", "start")
        counts = []
        for number in range(2):
            await page.open(f"/courses/{course}/do/{trigger}")
            with statements() as asked:
                await page.open(f"/courses/{course}/do/{trigger}")
            counts.append(len(asked))
            for more in range(4):
                await api.open(f"EHR-{number}-{more}")
            await api.walk(course, "note", "note")
        assert counts[0] == counts[1] <= 30

    browse(test)


def test_opening_a_form_is_recorded_as_a_read_of_the_course(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await (await site.visitor()).open(f"/courses/{course}/do/note")
        items = (await api.get("/v1/audit", "auditor")).json()["items"]
        found = [each for each in items if each["action"] == "before note"]
        assert [(each["kind"], each["actor"]["person"], each["courses"]) for each in found] == [("read", "therapist-1", [course])]

    browse(test)


@pytest.mark.rest
def test_pictures(browse, picture):
    async def test(site):
        api = await site.api()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_evaluation", "record_inventory")
        page = await site.visitor()
        for trigger in ("select_focus", "agree_contract", "assign_sick_role", "begin_middle"):
            await page.open(f"/courses/{course}/do/{trigger}")
            picture(page, f"form-{trigger}")
        await page.open(f"/courses/{course}/do/agree_contract")
        await page.press("Agree the contract")
        picture(page, "form-faulty")
        await page.open(f"/courses/{course}/do/begin_middle")
        await page.press("Begin the middle phase")
        picture(page, "form-refused")
        picture(page, "form-refused-narrow", "narrow")

    browse(test)
