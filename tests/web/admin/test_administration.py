"""The administration pages as an administrator uses them: people, cover, programs, what comes in and goes out, the organisation."""

import datetime as dt
import json
import re

import pytest
from support.smart import JWKS

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices.sources import NewSource

ADMIN = ("admin-1", "admin")
URL = "https://ehr.example/hooks"
LISTS = ("", "/people", "/cover", "/tokens", "/systems", "/sources", "/subscriptions", "/protocols", "/organisation")
FORMS = ("/people/new", "/cover/new", "/tokens/new", "/systems/new", "/sources/new", "/subscriptions/new")


ADMINISTRATOR = Principal(person="admin-1", role="admin")


def services(site):
    return site.application.litestar.state.front_desk.first


async def on_database(site, statement):
    def run(connection):
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else None

    return await site.clinic.database.write(run)


def admin(browse, test):
    """Runs a test with a browser in which an administrator is signed in."""

    async def inside(site):
        return await test(site, await site.visitor(*ADMIN))

    return browse(inside)


# Start


def test_the_start_page_leads_to_every_page_and_says_that_nothing_is_wrong(browse):
    async def test(_site, page):
        await page.open("/")
        assert "Nothing needs you now." in page.text
        for text, heading in {
            "People and roles": "People",
            "Cover": "Cover",
            "Tokens": "Tokens",
            "Systems": "Systems",
            "Sources": "Sources",
            "Subscriptions": "Subscriptions",
            "Protocols": "Protocols",
            "Your organisation": "Your organisation",
        }.items():
            await page.open("/admin")
            await page.follow(text)
            assert page.heading == heading

    admin(browse, test)


def test_the_start_page_names_a_token_that_expires_soon(browse):
    async def test(_site, page):
        await make_token(page, days="20")
        await page.open("/")
        assert "The token north-ehr expires on" in page.text

    admin(browse, test)


# People


async def add_person(page, person="ben", **more):
    await page.open("/admin/people/new")
    page.fill("Id", person).fill("Name", more.get("name", "Ben Bright")).choose("Therapist", "Roles")
    return await page.press("Add")


def test_a_person_is_added_changed_leaves_and_comes_back(browse):
    async def test(_site, page):
        await add_person(page)
        assert (page.path, page.heading) == ("/admin/people/ben", "Ben Bright")
        await page.follow("Change")
        page.fill("Time zone", "Europe/Berlin").choose("Supervisor", "Roles").fill("Language", "Deutsch")
        await page.press("Save")
        assert "therapist, supervisor" in page.text
        assert "Europe/Berlin" in page.text
        await page.follow("Change")
        page.fill("Time zone", "").choose("Supervisor", "Roles", on=False)
        await page.press("Save")
        assert "that of the organisation" in page.text
        await page.follow("Record that this person left")
        await page.press("End their access now")
        assert page.heading == "Ben Bright left"
        await page.follow("Ben Bright")
        assert "Left on" in page.text
        await page.press("Record that this person came back")
        assert "Here" in page.text

    admin(browse, test)


def test_everything_wrong_with_a_person_is_told_at_once_and_what_was_typed_stays(browse):
    async def test(_site, page):
        await page.open("/admin/people/new")
        page.fill("Time zone", "Berlin")
        await page.press("Add")
        assert page.status == 422
        assert page.title.startswith("Error: ")
        assert [error.partition(":")[0] for error in page.errors] == ["Id", "Name", "Roles"]
        page.fill("Id", "ben").fill("Name", "Ben").choose("Therapist", "Roles").fill("Supervisors", "nobody-here")
        await page.press("Add")
        assert [error.partition(":")[0] for error in page.errors] == ["Supervisors", "Time zone"]
        assert page.value(page.control("Name")) == "Ben"

    admin(browse, test)


def test_an_id_is_never_given_twice(browse):
    async def test(_site, page):
        await add_person(page)
        await add_person(page)
        assert page.status == 422
        (error,) = page.errors
        assert "never given to another person" in error

    admin(browse, test)


def test_people_are_listed_in_pages_and_by_role(browse):
    async def test(site, page):
        for number in range(55):
            await site.signed_in(f"person-{number:02}")
        await page.open("/admin/people")
        assert len(page.table()) == 51
        page.fill("Role", "therapist")
        await page.press("Show")
        assert [row[1] for row in page.table()[1:]] == [f"person-{number:02}" for number in range(50)]
        await page.follow("Next page")
        assert [row[1] for row in page.table()[1:6]] == [f"person-{number:02}" for number in range(50, 55)]
        page.fill("Role", "auditor")
        await page.press("Show")
        assert "There is nobody like this." in page.text

    admin(browse, test)


def test_a_link_to_set_up_signing_in_is_shown_once(browse):
    async def test(_site, page):
        await add_person(page)
        await page.press("Make a link to set up signing in")
        assert re.search(r"/o/default/enrol\?key=\S{43}", page.text)
        await page.open("/admin/people/ben")
        assert "enrol?key=" not in page.answer.text

    admin(browse, test)


def test_a_link_takes_somebody_who_signed_in_just_now(browse, clock):
    async def test(_site, page):
        await add_person(page)
        clock.advance(dt.timedelta(minutes=10))
        await page.open("/admin/people/ben")
        assert "Confirm that it is you" in page.links()
        await page.press("Make a link to set up signing in")
        assert (page.status, page.heading) == (401, "Confirm that it is you")

    admin(browse, test)


def test_an_administrator_ends_somebodys_session(browse):
    async def test(site, page):
        other = await site.visitor("therapist-1", "therapist")
        await page.open("/admin/people/therapist-1")
        assert len(page.table()) == 1 + 1
        await page.press("End")
        assert page.path == "/admin/people/therapist-1"
        assert "Open sessions" not in page.text
        await other.open("/me")
        assert "You are signed in" not in other.text

    admin(browse, test)


# Cover


def test_cover_is_arranged_and_ended(browse):
    async def test(site, page):
        await site.signed_in("therapist-1")
        await site.signed_in("therapist-2")
        await page.open("/admin/cover/new")
        page.fill("Therapist", "therapist-1").fill("Colleague", "therapist-2").fill("Until", "2026-01-12T09:00")
        page.choose("The clients know").fill("Reason", "Annual leave.")
        await page.press("Arrange")
        assert page.path == "/admin/cover"
        (row,) = page.table()[1:]
        assert row[:2] == ["therapist-1", "therapist-2"]
        assert row[4:8] == ["all", "yes", "Annual leave.", "in force"]
        await page.press("End the cover of therapist-1 by therapist-2")
        assert "No cover is planned or in force." in page.text

    admin(browse, test)


def test_a_therapist_arranges_their_own_cover(browse):
    async def test(site):
        await site.signed_in("therapist-2")
        page = await site.visitor("therapist-1", "therapist")
        await page.open("/admin/cover/new")
        assert page.value(page.control("Therapist")) == "therapist-1"
        page.fill("Colleague", "therapist-2").fill("Until", "2026-01-12T09:00").fill("Reason", "Annual leave.")
        page.fill("Therapist", "therapist-2")
        await page.press("Arrange")
        assert [error.partition(":")[0] for error in page.errors] == ["Therapist", "Colleague"]

    browse(test)


# Programs


async def make_token(page, **more):
    await page.open("/admin/tokens/new")
    page.fill("Name", "north-ehr").choose("EHR", "Role")
    for label, value in {"Days until it expires": more.get("days", ""), "Scopes": more.get("scopes", "")}.items():
        page.fill(label, value)
    return await page.press("Make the token")


def test_a_token_is_shown_once_and_works_until_it_is_revoked(browse):
    async def test(site, page):
        await make_token(page, scopes="system/Encounter.rs")
        text = page.tree.one("code").text
        headers = {"Authorization": f"Bearer {text}"}
        assert (await site.get("/v1/protocols", **headers)).status_code in {200, 403}
        await page.open("/admin/tokens")
        assert text not in page.answer.text
        (row,) = [row for row in page.table()[1:] if row[0] == "north-ehr"]
        assert (row[1], row[5], row[6]) == ("EHR", "system/Encounter.rs", "in force")
        await page.press("Revoke the token north-ehr")
        assert (await site.get("/v1/protocols", **headers)).status_code == 401

    admin(browse, test)


def test_a_token_takes_somebody_who_signed_in_just_now_and_keeps_what_was_typed(browse, clock):
    async def test(_site, page):
        await page.open("/admin/tokens/new")
        clock.advance(dt.timedelta(minutes=10))
        page.fill("Name", "north-ehr").choose("EHR", "Role")
        await page.press("Make the token")
        assert page.status == 401
        assert page.links()["Confirm that it is you"].endswith("/confirm")
        assert page.value(page.control("Name")) == "north-ehr"

    admin(browse, test)


def test_a_system_is_registered_changed_and_revoked(browse):
    async def test(_site, page):
        await page.open("/admin/systems/new")
        page.fill("Id", "north").fill("Scopes", "system/Encounter.rs").choose("EHR", "Role").fill("Public keys", json.dumps(JWKS))
        await page.press("Register")
        assert (page.path, page.heading) == ("/admin/systems/north", "north")
        assert JWKS["keys"][0]["kid"] in page.text
        page.fill("Name", "North").fill("Scopes", "system/*.rs\nsystem/Observation.r")
        await page.press("Save")
        assert page.heading == "North"
        assert JWKS["keys"][0]["kid"] in page.text
        await page.press("Revoke this system")
        assert "revoked on" in page.text
        assert page.buttons() == []

    admin(browse, test)


def test_what_is_wrong_with_a_system_is_told_at_its_field(browse):
    async def test(_site, page):
        await page.open("/admin/systems/new")
        page.fill("Id", "north").fill("Scopes", "system/Encounter.rs").choose("EHR", "Role").fill("Public keys", "no JSON")
        await page.press("Register")
        assert [error.partition(":")[0] for error in page.errors] == ["Public keys"]
        page.fill("Public keys", "").fill("Address of its public keys", "http://10.0.0.1/keys")
        await page.press("Register")
        assert [error.partition(":")[0] for error in page.errors] == ["Address of its public keys"]
        assert page.value(page.control("Scopes")) == "system/Encounter.rs"

    admin(browse, test)


# Sources


def test_a_source_is_registered_with_a_secret_that_is_shown_once(browse):
    async def test(_site, page):
        await page.open("/admin/sources/new")
        page.fill("Id", "north").choose("Signed by Standard Webhooks", "How its messages prove who sent them")
        await page.press("Register")
        secret = page.tree.one("code").text
        assert secret.startswith("whsec_")
        await page.open("/admin/sources/north")
        assert secret not in page.answer.text
        assert page.table()[1][0] == "Signed by Standard Webhooks"

    admin(browse, test)


def test_a_source_is_changed_given_another_key_and_disabled(browse):
    async def test(site, page):
        await services(site).notices.sources.add(ADMINISTRATOR, lambda: NewSource(id="north"))
        await page.open("/admin/sources/north")
        page.choose("They are ignored", "Visits of other kinds").choose("It names the persons who act as they are known here")
        await page.press("Save")
        assert page.value(page.control("It names the persons who act as they are known here")) == "true"
        page.choose("It names the persons who act as they are known here", on=False)
        await page.press("Save")
        assert page.value(page.control("It names the persons who act as they are known here")) is None
        await page.follow("A new key")
        page.choose("With a bearer token", "How its messages prove who sent them").fill(
            "Hours for which older keys stay valid", "-1"
        )
        await page.press("Make the key")
        assert page.status == 422
        page.fill("Hours for which older keys stay valid", "2")
        await page.press("Make the key")
        assert page.heading == "A new key"
        await page.open("/admin/sources/north")
        assert len(page.table()) == 3
        await page.press("Refuse its messages from now on")
        assert "disabled on" in page.text
        await page.press("Take its messages again")
        assert "in force" in page.text

    admin(browse, test)


# Subscriptions


async def subscribe(page, url=URL):
    await page.open("/admin/subscriptions/new")
    page.fill("Address of the receiver", url)
    return await page.press("Subscribe")


def test_a_subscription_is_made_changed_paused_and_deleted(browse):
    async def test(_site, page):
        await subscribe(page)
        assert page.tree.one("code").text.startswith("whsec_")
        await page.open("/admin/subscriptions")
        await page.follow(URL)
        await page.follow("Change")
        page.fill("Types of events", "course.attention")
        await page.press("Save")
        assert "course.attention" in page.text
        await page.press("Pause")
        assert "paused" in page.text
        await page.press("Resume")
        assert "sending" in page.text
        await page.follow("Replace the keys")
        await page.press("Replace the keys")
        assert page.tree.one("code").text.startswith("whsec_")
        await page.open("/admin/subscriptions")
        await page.follow(URL)
        await page.press("Delete this subscription")
        assert "There are none." in page.text

    admin(browse, test)


def test_the_same_subscription_twice_is_refused_with_the_form(browse):
    async def test(_site, page):
        await subscribe(page)
        await subscribe(page)
        assert page.status == 422
        (error,) = page.errors
        assert error.startswith("Address of the receiver: ")
        await subscribe(page, "http://10.0.0.1/hooks")
        assert [error.partition(":")[0] for error in page.errors] == ["Address of the receiver"]

    admin(browse, test)


def test_what_failed_is_told_with_its_reason_and_sent_again(browse):
    async def test(site, page):
        await subscribe(page)
        await page.open("/admin/subscriptions")
        await page.follow(URL)
        await page.press("Send a test")
        place = page.path
        await page.follow("Send again what was missed")
        page.fill("Everything since", "2026-01-01T00:00")
        await page.press("Send again")
        assert page.heading == "Sent again"
        await on_database(site, "UPDATE delivery SET status = 'dead', last_problem = 'timeout', attempts = 9, ended_at = next_at")
        await page.open("/")
        await page.follow("1 delivery was given up")
        (row,) = page.table()[1:]
        assert (row[2], row[3], row[5]) == ("given up", "9", "no answer in time")
        await page.press(f"Send number {row[0]} again")
        assert page.path == place
        assert [row[2] for row in page.table()[1:]] == ["waiting"]

    admin(browse, test)


# The organisation


def test_an_organisation_decides_its_name_its_zone_and_who_sees_what(browse):
    async def test(site, page):
        await page.open("/admin/organisation")
        page.fill("Name", "North Clinic").fill("Time zone", "Europe/Berlin")
        page.choose("Those of the therapists whom they supervise").choose("Never")
        await page.press("Save")
        assert page.value(page.control("Name")) == "North Clinic"
        assert (site.clinic.access_rules.supervision, site.clinic.access_rules.auditor_text) == ("supervisees", "never")
        page.fill("Time zone", "Nowhere")
        await page.press("Save")
        assert [error.partition(":")[0] for error in page.errors] == ["Time zone"]
        await page.open("/")
        assert page.heading == "North Clinic"

    admin(browse, test)


def test_who_changes_what_the_organisation_decides_is_recorded_once(browse):
    async def test(site, page):
        await page.open("/admin/organisation")
        page.choose("Never")
        await page.press("Save")
        await page.press("Save")
        assert await on_database(site, "SELECT action FROM audit_event WHERE kind = 'config'") == [
            ("organisation auditor_text never",)
        ]

    admin(browse, test)


# All of them


@pytest.mark.matrix(5)
@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("role", ("therapist", "auditor"))
def test_others_see_nothing_of_it_but_cover_and_protocols(browse, role, path):
    async def test(site):
        page = await site.visitor("pat", role)
        await page.open(f"/admin{path}")
        assert page.status == (200 if path in {"/cover", "/protocols"} else 403)

    browse(test)


@pytest.mark.matrix(3)
@pytest.mark.parametrize("path", LISTS)
def test_lists_ask_the_database_few_questions_however_much_there_is(browse, statements, path):
    async def test(site, page):
        counts = []
        for number in range(2):
            for each in range(3 * number):
                await subscribe(page, f"{URL}/{number}/{each}")
                await make_token(page)
                await add_person(page, f"person-{number}-{each}")
                await services(site).notices.sources.add(ADMINISTRATOR, lambda each=each: NewSource(id=f"s-{each}"))
            with statements() as asked:
                await page.open(f"/admin{path}")
            counts.append(len(asked))
        assert counts[1] <= counts[0] + 2  # of several people, their supervisors are read too
        assert counts[0] <= 15

    admin(browse, test)


@pytest.mark.matrix(7)
@pytest.mark.parametrize("path", (*LISTS, *FORMS))
def test_the_pages_are_accessible(browse, axe, path):
    async def test(_site, page):
        await make_token(page)
        await page.open(f"/admin{path}")
        axe(page)

    admin(browse, test)


async def person_page(page):
    await add_person(page)


async def person_form(page):
    await add_person(page)
    await page.follow("Change")


async def faulty_person(page):
    await page.open("/admin/people/new")
    await page.press("Add")


async def person_leaving(page):
    await add_person(page)
    await page.follow("Record that this person left")


async def person_left(page):
    await person_leaving(page)
    await page.press("End their access now")


async def enrolment_link(page):
    await add_person(page)
    await page.press("Make a link to set up signing in")


async def system_page(page):
    await page.open("/admin/systems/new")
    page.fill("Id", "north").fill("Scopes", "system/Encounter.rs").choose("EHR", "Role").fill("Public keys", json.dumps(JWKS))
    await page.press("Register")


async def new_secret(page):
    await page.open("/admin/sources/new")
    page.fill("Id", "north").choose("Signed by Standard Webhooks", "How its messages prove who sent them")
    await page.press("Register")


async def source_page(page):
    await new_secret(page)
    await page.open("/admin/sources/north")


async def subscription_page(page):
    await subscribe(page)
    await page.open("/admin/subscriptions")
    await page.follow(URL)


async def subscription_form(page):
    await subscription_page(page)
    await page.follow("Change")


async def key_form(page):
    await subscription_page(page)
    await page.follow("Replace the keys")


async def source_key_form(page):
    await source_page(page)
    await page.follow("A new key")


async def replay_form(page):
    await subscription_page(page)
    await page.follow("Send again what was missed")
    await page.press("Send again")


STATES = (
    person_page, person_form, faulty_person, person_leaving, person_left, enrolment_link, system_page, new_secret, source_page,
    source_key_form, subscription_page, subscription_form, key_form, replay_form,
)  # fmt: skip


@pytest.mark.matrix(7)
@pytest.mark.parametrize("reach", STATES, ids=lambda each: each.__name__)
def test_what_follows_from_them_is_accessible(browse, axe, reach):
    async def test(_site, page):
        await reach(page)
        axe(page)

    admin(browse, test)


@pytest.mark.matrix(6)
@pytest.mark.parametrize("path", (*LISTS, *FORMS))
def test_the_pages_are_in_german_for_who_reads_german(browse, path):
    async def test(site):
        page, english = await site.visitor(*ADMIN, language="de"), await site.visitor(*ADMIN)
        await page.open(f"/admin{path}")
        await english.open(f"/admin{path}")
        assert page.tree.one("html")["lang"] == "de"
        same = {each.text for each in page.main.all("h1", "h2", "label", "legend", "button")}
        same &= {each.text for each in english.main.all("h1", "h2", "label", "legend", "button")}
        assert same <= {"Name", "Person", "Status", "EHR", "default", "Passkeys"}

    browse(test)
