"""How people get passkeys, recovery codes and passwords, and lose them."""

import asyncio
import datetime as dt
import json

import pytest
from support import databases, local_sign_in
from support.authenticator import FLAG, SoftwareAuthenticator
from support.local_sign_in import OPERATOR, PASSWORD

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.tokens import digest
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, PersonNeeded, ReauthenticationNeeded, SignInRefused
from ipt_workflow.service.access.enrolment import TypedPassword
from ipt_workflow.service.access.sessions import ProviderIdentity
from ipt_workflow.store import credentials

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


async def refused(attempt, why: str) -> None:
    with pytest.raises(SignInRefused) as error:
        await attempt
    assert error.value.why == why


def test_a_link_gives_a_passkey_ten_codes_and_a_session(local):
    async def test(local):
        done = await local.enrol("anna", SoftwareAuthenticator())
        assert len(set(done.codes)) == 10
        assert (done.signed_in.session.person, done.signed_in.session.method) == ("anna", "passkey")
        known = await local.enrolment.mine("anna")
        assert (len(known.passkeys), known.recovery_codes, known.enrolled) == (1, 10, True)

    local(test)


def test_a_link_works_once_and_for_a_day(local):
    async def test(local):
        key = await local.key("anna")
        assert await local.enrolment.linked_person(key) == "anna"
        answers = [json.dumps(SoftwareAuthenticator().make(await local.enrolment.ask("anna"))) for _ in range(2)]
        await local.enrolment.passkey_by_link(key, answers[0], local.request())
        await refused(local.enrolment.passkey_by_link(key, answers[1], local.request()), "link")
        late = await local.key("anna")
        local.clinic.clock.advance(dt.timedelta(hours=24))
        await refused(local.enrolment.linked_person(late), "link")

    local(test)


def test_of_two_who_use_a_link_at_the_same_time_one_enrols(local):
    async def test(local):
        key = await local.key("anna")
        made = [SoftwareAuthenticator(), SoftwareAuthenticator()]
        answers = [json.dumps(each.make(await local.enrolment.ask("anna"))) for each in made]
        tries = [local.enrolment.passkey_by_link(key, answer, local.request()) for answer in answers]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(type(each).__name__ for each in done) == ["Enrolled", "SignInRefused"]
        assert len((await local.enrolment.mine("anna")).passkeys) == 1

    local(test)


def test_a_new_link_takes_the_place_of_the_one_before(local):
    async def test(local):
        first, second = await local.key("anna"), await local.key("anna")
        await refused(local.enrolment.linked_person(first), "link")
        assert await local.enrolment.linked_person(second) == "anna"

    local(test)


def test_the_secret_of_a_link_is_not_stored(local):
    async def test(local):
        key = await local.key("anna")

        def stored(connection):
            return [tuple(row) for row in connection.exec_driver_sql("SELECT kind, hash, data FROM one_time")]

        assert await local.clinic.database.read(stored) == [("enrolment", digest(key), b'{"person":"anna"}')]

    local(test)


def test_an_enrolment_without_user_verification_is_refused_and_the_link_is_not_used_up(local):
    async def test(local):
        key, authenticator = await local.key("anna"), SoftwareAuthenticator()
        answer = json.dumps(authenticator.make(await local.enrolment.ask("anna"), FLAG.UP))
        await refused(local.enrolment.passkey_by_link(key, answer, local.request()), "user_verification")
        assert await local.enrolment.linked_person(key) == "anna"

    local(test)


def test_a_passkey_made_for_somebody_else_is_refused(local):
    async def test(local):
        answer = json.dumps(SoftwareAuthenticator().make(await local.enrolment.ask("ben")))
        await refused(local.enrolment.passkey_by_link(await local.key("anna"), answer, local.request()), "challenge")
        to_sign_in = {**await local.sign_in.ask(), "user": {"id": "AAAA"}, "rp": {"id": "localhost"}}
        answer = json.dumps(SoftwareAuthenticator().make(to_sign_in))
        await refused(local.enrolment.passkey_by_link(await local.key("anna"), answer, local.request()), "challenge")

    local(test)


def test_a_passkey_that_is_known_already_is_refused_for_anybody(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("anna", authenticator)
        key = await local.key("ben")
        answer = json.dumps(authenticator.make(await local.enrolment.ask("ben")))
        await refused(local.enrolment.passkey_by_link(key, answer, local.request()), "passkey")
        assert await local.enrolment.linked_person(key) == "ben"

    local(test)


def test_only_an_administrator_who_has_just_signed_in_makes_links(local):
    async def test(local):
        now = local.clinic.clock.now()
        with pytest.raises(Forbidden):
            await local.enrolment.make_link(Principal(person="ben", role="supervisor", session="1", authenticated_at=now), "anna")
        with pytest.raises(PersonNeeded):
            await local.enrolment.make_link(Principal(person="root", role="admin", token="t"), "anna")
        long_ago = now - dt.timedelta(minutes=6)
        with pytest.raises(ReauthenticationNeeded):
            await local.enrolment.make_link(Principal(person="root", role="admin", session="1", authenticated_at=long_ago), "anna")
        tried = [(person, action) for person, _, action, _ in await local.log("refusal")]
        assert tried == [("ben", "manage sign-in"), ("root", "manage sign-in"), ("root", "manage sign-in")]
        fresh = Principal(person="root", role="admin", session="1", authenticated_at=now)
        assert (await local.enrolment.make_link(fresh, "anna")).expires_at == now + dt.timedelta(hours=24)

    local(test)


@pytest.mark.parametrize("person", ["gone", "nobody-here", "a\x00b"])
def test_there_is_no_link_for_somebody_who_is_not_here(local, person):
    async def test(local):
        for verb in (local.enrolment.make_link, local.enrolment.revoke, local.enrolment.of):
            with pytest.raises(NotFound):
                await verb(OPERATOR, person)

    local(test)


def test_a_link_of_somebody_who_left_meanwhile_does_nothing(local):
    async def test(local):
        key = await local.key("anna")

        def leave(connection):
            connection.exec_driver_sql("UPDATE person SET status = 'left' WHERE id = 'anna'")

        await local.clinic.database.write(leave)
        await refused(local.enrolment.linked_person(key), "link")

    local(test)


def test_somebody_who_enrolled_adds_a_passkey_and_removes_all_but_the_last(local):
    async def test(local):
        first, second = SoftwareAuthenticator(), SoftwareAuthenticator()
        principal = await local.principal((await local.enrol("anna", first)).signed_in)
        local.clinic.clock.advance(dt.timedelta(minutes=1))
        await local.enrolment.add_passkey(principal, json.dumps(second.make(await local.enrolment.ask_another(principal))))
        assert second.user_handle == first.user_handle
        assert (await local.by_passkey(second)).session.person == "anna"
        oldest, newest = (each.id for each in (await local.enrolment.mine("anna")).passkeys)
        await local.enrolment.remove_passkey(principal, oldest)
        with pytest.raises(CommandInvalid, match="add another one first"):
            await local.enrolment.remove_passkey(principal, newest)
        await refused(local.by_passkey(first), "unknown")

    local(test)


def test_what_is_ones_own_is_changed_only_right_after_signing_in(local):
    async def test(local):
        principal = await local.principal((await local.enrol("anna", SoftwareAuthenticator())).signed_in)
        local.clinic.clock.advance(dt.timedelta(minutes=6))
        for verb in (
            local.enrolment.ask_another(principal),
            local.enrolment.add_passkey(principal, "{}"),
            local.enrolment.remove_passkey(principal, "x"),
            local.enrolment.new_codes(principal),
        ):
            with pytest.raises(ReauthenticationNeeded):
                await verb

    local(test)


def test_who_signs_in_at_an_identity_provider_gets_no_way_past_it(local):
    async def test(local):
        now = local.clinic.clock.now()
        identity = ProviderIdentity(issuer="https://idp.example", subject="s")
        done = await local.sign_in.sessions.begin("anna", ("therapist",), "oidc", authenticated_at=now, provider=identity)
        principal = await local.principal(done)
        await refused(local.enrolment.ask_another(principal), "not_enrolled")
        await refused(local.enrolment.new_codes(principal), "not_enrolled")

    local(test)


def test_new_codes_replace_the_old_ones(local):
    async def test(local):
        done = await local.enrol("anna", SoftwareAuthenticator())
        new = await local.enrolment.new_codes(await local.principal(done.signed_in))
        assert len(set(new) | set(done.codes)) == 20
        await refused(local.sign_in.by_recovery_code("anna", done.codes[0], local.request()), "recovery_code")
        assert (await local.sign_in.by_recovery_code("anna", new[0], local.request())).session.person == "anna"

    local(test)


def test_an_administrator_takes_everything_from_somebody_and_ends_their_sessions(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        done = await local.enrol("anna", authenticator)
        await local.set_password("anna", SECRET)
        key = await local.key("anna")
        await local.enrolment.revoke(OPERATOR, "anna")
        known = await local.enrolment.of(OPERATOR, "anna")
        assert (known.passkeys, known.recovery_codes, known.enrolled) == ([], 0, False)
        await refused(local.by_passkey(authenticator), "unknown")
        await refused(local.enrolment.linked_person(key), "link")
        assert done.signed_in.session.id not in [each.id for each in await local.sign_in.sessions.list(OPERATOR, "anna")]

    local(test)


def test_a_password_is_set_by_a_link_with_a_code_of_the_app(local):
    async def test(local):
        done = await local.set_password("anna", SECRET)
        assert (done.signed_in.session.method, len(done.codes)) == ("password", 10)
        assert (await local.enrolment.mine("anna")).password_changed_at == local.clinic.clock.now()

    local(test)


@pytest.mark.parametrize(
    ("password", "secret", "code", "where"),
    [
        ("shorter", SECRET, None, ["password"]),
        (PASSWORD, SECRET, "000000", ["code"]),
        (PASSWORD, "not a secret", None, ["code"]),
        (PASSWORD, SECRET, "", ["code"]),
        ("anna " * 4, SECRET, "000000", ["password", "password", "code"]),
    ],
)
def test_a_weak_password_or_a_wrong_code_is_told_and_the_link_is_not_used_up(local, password, secret, code, where):
    async def test(local):
        key = await local.key("anna")
        typed = TypedPassword(password=password, secret=secret, code=local.code(SECRET) if code is None else code)
        with pytest.raises(CommandInvalid) as error:
            await local.enrolment.password_by_link(key, typed, local.request())
        assert [each.where for each in error.value.faults] == where
        assert await local.enrolment.linked_person(key) == "anna"
        assert await local.clinic.read(credentials.find_password, "anna") is None

    local(test)


def test_a_person_enrols_signs_in_by_each_way_and_is_stopped_on_both_databases(database_url, clock, monkeypatch):
    local_sign_in.hashes_cost_little(monkeypatch)

    async def test(local):
        authenticator = SoftwareAuthenticator(counts=True)
        codes = (await local.enrol("anna", authenticator)).codes
        assert (await local.by_passkey(authenticator)).session.method == "passkey"
        assert (await local.sign_in.by_recovery_code("anna", codes[0], local.request())).session.method == "recovery"
        await local.set_password("anna", SECRET)
        local.clinic.clock.advance(dt.timedelta(seconds=30))
        done = await local.sign_in.by_password("anna", PASSWORD, local.code(SECRET), local.request())
        assert done.session.method == "password"
        await local.enrolment.revoke(OPERATOR, "anna")
        await refused(local.by_passkey(authenticator), "unknown")
        assert (await local.log())[-1] == ("unknown", "nobody", "sign-in refused", "unknown")

    local_sign_in.run(databases.settings_of(database_url), clock, test)
