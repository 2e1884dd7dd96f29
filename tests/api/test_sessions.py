"""Sessions over the API: a person's own, an administrator's view of others', and what a session may do that a token may not."""

import asyncio
import datetime as dt

import pytest
from support import page_client
from support.http_client import OPERATOR

from ipt_workflow.errors import PersonNeeded, ReauthenticationNeeded
from ipt_workflow.service.access import sessions
from ipt_workflow.service.access.people import People, PersonChange
from ipt_workflow.service.access.tokens import NewToken, Tokens

NEW = NewToken(role="ehr", name="ehr-2")


@pytest.fixture
def run(settings, clock):
    """Runs a coroutine function with `Pages` and the clock."""

    def run(test):
        async def inside():
            async with page_client.running(settings, clock) as pages:
                return await test(pages, clock)

        return asyncio.run(inside())

    return run


async def bearer(pages, signed_in):
    return {"Authorization": f"Bearer {(await pages.sessions.open_access(signed_in.session)).access}"}


def test_a_person_lists_and_ends_their_own_sessions(run):
    async def test(pages, clock):
        there, here = await pages.signed_in(), await pages.signed_in()
        await pages.signed_in("therapist-2")
        headers = await bearer(pages, here)
        items = (await pages.get("/v1/sessions", **headers)).json()["items"]
        assert {each["id"]: each["current"] for each in items} == {here.session.id: True, there.session.id: False}
        assert not any("secret" in each or "hash" in each for each in items)
        assert (await pages.client.delete(f"/v1/sessions/{there.session.id}", headers=headers)).status_code == 204
        assert (await pages.client.delete(f"/v1/sessions/{there.session.id}", headers=headers)).status_code == 404
        assert (await pages.client.delete(f"/v1/sessions/{here.session.id}", headers=headers)).status_code == 204
        assert (await pages.get("/v1/sessions", **headers)).status_code == 401

    run(test)


def test_nobody_but_an_administrator_sees_or_ends_the_sessions_of_others_and_who_tried_is_recorded(run):
    async def test(pages, clock):
        mine, other = await pages.signed_in(), await pages.signed_in("therapist-2")
        headers = await bearer(pages, mine)
        assert (await pages.get("/v1/sessions?person=therapist-2", **headers)).status_code == 403
        assert (await pages.client.delete(f"/v1/sessions/{other.session.id}", headers=headers)).status_code == 404
        auditor = {"Authorization": f"Bearer {await pages.token('auditor', 'auditor-1')}"}
        tried = (await pages.get("/v1/audit?kind=refusal", **auditor)).json()["items"]
        assert [(each["action"], each["rules"]) for each in tried] == [("manage sessions", ["role"]), ("end a session", ["hidden"])]
        admin = {"Authorization": f"Bearer {await pages.token('admin', 'admin-1')}"}
        (listed,) = (await pages.get("/v1/sessions?person=therapist-2", **admin)).json()["items"]
        assert listed["id"] == other.session.id
        assert (await pages.client.delete(f"/v1/sessions/{other.session.id}", headers=admin)).status_code == 204
        ended = (await pages.get("/v1/audit?kind=sign_in&actor=admin-1", **auditor)).json()["items"]
        assert [each["action"] for each in ended] == [f"ended session {other.session.id} of therapist-2"]

    run(test)


def test_a_session_of_another_organisation_does_not_exist(run):
    async def test(pages, clock):
        signed_in = await pages.signed_in()
        await pages.clinic.database.write(
            lambda connection: connection.exec_driver_sql("UPDATE sign_in_session SET organisation = 'north'")
        )
        admin = {"Authorization": f"Bearer {await pages.token('admin', 'admin-1')}"}
        assert (await pages.client.delete(f"/v1/sessions/{signed_in.session.id}", headers=admin)).status_code == 404
        assert (await pages.get("/v1/sessions?person=therapist-1", **admin)).json()["items"] == []

    run(test)


def test_a_token_is_made_by_a_person_who_proved_lately_who_they_are_and_by_no_token(run):
    async def test(pages, clock):
        signed_in = await pages.signed_in("admin-1", ("admin",))
        tokens = Tokens(pages.clinic)
        await tokens.create(sessions.acting(signed_in.session, "api"), NEW)
        clock.advance(dt.timedelta(minutes=5, seconds=1))
        with pytest.raises(ReauthenticationNeeded):
            await tokens.create(sessions.acting(signed_in.session, "api"), NEW)
        clinic, principal = await pages.credentials.identify(await pages.token("admin", "admin-1"))
        with pytest.raises(PersonNeeded):
            await Tokens(clinic).create(principal, NEW)

    run(test)


def test_who_leaves_or_loses_a_role_can_do_nothing_more_in_their_sessions(run):
    async def test(pages, clock):
        people = People(pages.clinic)
        leaving, demoted = await pages.signed_in(), await pages.signed_in("supervisor-1", ("supervisor",))
        headers = [await bearer(pages, each) for each in (leaving, demoted)]
        departure = await people.leave(OPERATOR, "therapist-1")
        assert departure.ended["sessions"] == 1
        await people.change(OPERATOR, "supervisor-1", lambda: PersonChange(roles=("therapist",)))
        for signed_in, header in zip((leaving, demoted), headers, strict=True):
            assert (await pages.get("/v1/sessions", **header)).status_code == 401
            assert (await pages.get("/", signed_in.secret.cookie)).status_code == 303

    run(test)


def test_an_organisation_that_is_suspended_lets_nobody_act_in_a_session(run):
    async def test(pages, clock):
        signed_in = await pages.signed_in()
        headers = await bearer(pages, signed_in)
        await pages.clinic.database.write(
            lambda connection: connection.exec_driver_sql("UPDATE organisation SET status = 'suspended', version = version + 1")
        )
        assert (await pages.get("/v1/sessions", **headers)).status_code == 401
        assert (await pages.get("/", signed_in.secret.cookie)).status_code == 303

    run(test)
