"""Signing in without an identity provider: who is let in, how often somebody may try, and what is recorded."""

import asyncio
import datetime as dt
import json

import pytest
from support.authenticator import FLAG, SoftwareAuthenticator
from support.local_sign_in import PASSWORD

from ipt_workflow.access import passkeys, passwords
from ipt_workflow.errors import NotFound, SignInRefused, SignInThrottled
from ipt_workflow.service.access.attempts import NOT_ACCEPTED
from ipt_workflow.service.access.local_sign_in import LocalSignIn
from ipt_workflow.store import credentials

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
REFUSED = "sign-in refused"


async def refused(attempt, why: str) -> None:
    with pytest.raises(SignInRefused, match=NOT_ACCEPTED) as error:
        await attempt
    assert error.value.why == why


def test_a_passkey_signs_its_person_in_and_that_is_recorded(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("anna", authenticator)
        done = await local.by_passkey(authenticator)
        assert (done.session.person, done.session.role, done.session.method) == ("anna", "therapist", "passkey")
        assert done.session.authenticated_at == local.clinic.clock.now()
        assert (await local.log())[-1] == ("anna", "therapist", "signed in by passkey", None)
        assert (await local.enrolment.mine("anna")).passkeys[0].used_at == local.clinic.clock.now()

    local(test)


def test_an_answer_without_user_verification_is_refused_and_recorded(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("anna", authenticator)
        await refused(local.by_passkey(authenticator, flags=FLAG.UP), "user_verification")
        assert (await local.log())[-1] == ("anna", "nobody", REFUSED, "user_verification")
        assert "ipt_authentication_failures_total 1.0" in local.clinic.metrics.text().decode()

    local(test)


def test_a_sign_counter_that_decreases_is_refused_and_recorded(local):
    async def test(local):
        authenticator = SoftwareAuthenticator(counts=True)
        await local.enrol("anna", authenticator)
        await local.by_passkey(authenticator)
        authenticator.count = 0
        await refused(local.by_passkey(authenticator), "counter")
        assert (await local.log())[-1] == ("anna", "nobody", REFUSED, "counter")
        authenticator.count = 2
        assert (await local.by_passkey(authenticator)).session.person == "anna"

    local(test)


def test_an_answer_is_taken_once_and_within_five_minutes(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("anna", authenticator)
        answer = json.dumps(authenticator.sign(await local.sign_in.ask()))
        await local.sign_in.by_passkey(answer, local.request())
        await refused(local.sign_in.by_passkey(answer, local.request()), "challenge")
        late = json.dumps(authenticator.sign(await local.sign_in.ask()))
        local.clinic.clock.advance(dt.timedelta(minutes=5))
        await refused(local.sign_in.by_passkey(late, local.request()), "challenge")

    local(test)


def test_an_unknown_passkey_and_a_challenge_that_was_meant_to_make_one_are_answered_alike(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        authenticator.user_handle = "AAAA"
        await refused(local.by_passkey(authenticator), "unknown")
        assert (await local.log())[-1] == ("unknown", "nobody", REFUSED, "unknown")
        await local.enrol("anna", authenticator)
        options = {**await local.enrolment.ask("anna"), "rpId": "localhost"}
        await refused(local.sign_in.by_passkey(json.dumps(authenticator.sign(options)), local.request()), "challenge")

    local(test)


@pytest.mark.parametrize("text", ["", "{}", "[", '{"id": "!", "response": {"clientDataJSON": "AA"}}', '{"id": 1}', "\x00"])
def test_what_is_no_answer_is_refused(local, text):
    async def test(local):
        await refused(local.sign_in.by_passkey(text, local.request()), "answer")

    local(test)


def test_a_passkey_of_one_organisation_opens_no_other(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("anna", authenticator)

        def moved(connection):
            connection.exec_driver_sql("UPDATE passkey SET organisation = 'north'")

        await local.clinic.database.write(moved)
        await refused(local.by_passkey(authenticator), "unknown")

    local(test)


def test_an_address_by_numbers_has_no_passkeys(local):
    async def test(local):
        by_number = LocalSignIn(local.clinic, local.sign_in._attempts, "http://127.0.0.1:8000/o/default")
        with pytest.raises(NotFound):
            await by_number.ask()
        with pytest.raises(NotFound):
            await by_number.by_passkey("{}", local.request())

    local(test)


@pytest.mark.parametrize("person", ["gone", "idle"])
def test_somebody_who_left_or_has_no_role_is_not_let_in(local, person):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("anna", authenticator)

        def given(connection):
            connection.exec_driver_sql(f"UPDATE passkey SET person = '{person}'")

        await local.clinic.database.write(given)
        await refused(local.by_passkey(authenticator), "no_role")
        assert (await local.log())[-1] == (person, "nobody", REFUSED, "no_role")

    local(test)


def test_somebody_with_several_roles_chooses_one(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("ben", authenticator)
        session = (await local.by_passkey(authenticator)).session
        assert (session.role, session.roles) == (None, "therapist supervisor")

    local(test)


def test_who_proves_again_who_they_are_goes_on_in_the_same_role_with_another_id(local):
    async def test(local):
        authenticator = SoftwareAuthenticator()
        await local.enrol("ben", authenticator)
        first = (await local.by_passkey(authenticator)).session
        chosen = (await local.sign_in.sessions.take_role(first, "supervisor")).session
        local.clinic.clock.advance(dt.timedelta(minutes=9))
        again = (await local.by_passkey(authenticator, current=chosen)).session
        assert (again.role, again.authenticated_at) == ("supervisor", local.clinic.clock.now())
        assert again.id != chosen.id
        views = await local.sign_in.sessions.list(await local.principal(await local.by_passkey(authenticator)))
        assert chosen.id not in [each.id for each in views]

    local(test)


def test_a_session_of_somebody_else_is_not_followed(local):
    async def test(local):
        authenticator, other = SoftwareAuthenticator(), SoftwareAuthenticator()
        of_ben = (await local.enrol("ben", other)).signed_in.session
        await local.enrol("anna", authenticator)
        done = await local.by_passkey(authenticator, current=of_ben)
        assert (done.session.person, done.session.role) == ("anna", "therapist")

    local(test)


def test_a_recovery_code_signs_in_once(local):
    async def test(local):
        codes = (await local.enrol("anna", SoftwareAuthenticator())).codes
        typed = codes[3].upper().replace("-", " ")
        done = await local.sign_in.by_recovery_code("anna", typed, local.request())
        assert (done.session.person, done.session.method) == ("anna", "recovery")
        await refused(local.sign_in.by_recovery_code("anna", typed, local.request()), "recovery_code")
        assert (await local.enrolment.mine("anna")).recovery_codes == 9

    local(test)


@pytest.mark.parametrize("person", ["anna", "ben", "nobody-here", "", "a\x00b", "x" * 5000])
def test_a_wrong_recovery_code_is_answered_alike_whoever_is_named(local, person):
    async def test(local):
        codes = (await local.enrol("anna", SoftwareAuthenticator())).codes
        wrong = codes[0] if person != "anna" else "0000-0000-0000-0000-0000-0000"
        await refused(local.sign_in.by_recovery_code(person, wrong, local.request()), "recovery_code")
        recorded = person if person in {"anna", "ben"} else "unknown"
        assert (await local.log())[-1] == (recorded, "nobody", REFUSED, "recovery_code")

    local(test)


def test_a_password_and_a_code_sign_in_and_the_code_works_once(local):
    async def test(local):
        await local.set_password("anna", SECRET)
        await refused(local.sign_in.by_password("anna", PASSWORD, local.code(SECRET), local.request()), "second_factor")
        local.clinic.clock.advance(dt.timedelta(seconds=30))
        code = local.code(SECRET)
        done = await local.sign_in.by_password("anna", PASSWORD, code, local.request())
        assert (done.session.person, done.session.method) == ("anna", "password")
        await refused(local.sign_in.by_password("anna", PASSWORD, code, local.request()), "second_factor")
        assert (await local.log())[-1] == ("anna", "nobody", REFUSED, "second_factor")

    local(test)


def test_of_two_sign_ins_with_one_code_at_the_same_time_one_is_let_in(local):
    async def test(local):
        await local.set_password("anna", SECRET)
        local.clinic.clock.advance(dt.timedelta(seconds=60))
        tries = [local.sign_in.by_password("anna", PASSWORD, local.code(SECRET), local.request()) for _ in range(4)]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(type(each).__name__ for each in done) == ["SignInRefused"] * 3 + ["SignedIn"]

    local(test)


@pytest.mark.parametrize(
    ("person", "password", "why"),
    [("anna", "another long sentence", "password"), ("ben", PASSWORD, "password"), ("nobody-here", PASSWORD, "password")],
)
def test_a_wrong_name_or_password_is_answered_alike_and_costs_one_hash(local, monkeypatch, person, password, why):
    compared = []

    async def test(local):
        await local.set_password("anna", SECRET)
        local.clinic.clock.advance(dt.timedelta(seconds=60))
        matches = passwords.matches
        monkeypatch.setattr(passwords, "matches", lambda *given: compared.append(given) or matches(*given))
        await refused(local.sign_in.by_password(person, password, local.code(SECRET), local.request()), why)

    local(test)
    assert len(compared) == 1


def test_a_wrong_code_of_the_second_factor_is_refused(local):
    async def test(local):
        await local.set_password("anna", SECRET)
        wrong = local.code("A" * 32)
        await refused(local.sign_in.by_password("anna", PASSWORD, wrong, local.request()), "second_factor")

    local(test)


def test_where_passwords_are_off_there_is_no_such_sign_in(local):
    async def test(local):
        with pytest.raises(NotFound):
            await local.sign_in.by_password("anna", PASSWORD, "123456", local.request())
        with pytest.raises(NotFound):
            await local.set_password("anna", SECRET)

    local(test, passwords_on=False)


def test_the_secret_of_the_second_factor_is_sealed_where_there_are_keys(local, settings):
    async def test(local):
        await local.set_password("anna", SECRET)
        kept = await local.clinic.read(credentials.find_password, "anna")
        assert kept.hash.startswith("$argon2id$")
        assert kept.second_factor == f"plain:{SECRET}"

    local(test)


def test_attempts_at_one_account_are_throttled_whether_or_not_it_is_known(local):
    async def test(local):
        for person in ("anna", "nobody-here"):
            for _ in range(5):
                await refused(local.sign_in.by_recovery_code(person, "wrong", local.request()), "recovery_code")
            with pytest.raises(SignInThrottled, match="Try again in 1 minute") as error:
                await local.sign_in.by_recovery_code(person, "wrong", local.request())
            assert error.value.retry_seconds == 60
        assert len(await local.log()) == 10
        local.now += 60
        await refused(local.sign_in.by_recovery_code("anna", "wrong", local.request()), "recovery_code")

    local(test)


def test_one_address_may_not_try_many_accounts(local):
    async def test(local):
        tries = [local.sign_in.by_recovery_code(f"person-{number}", "wrong", local.request()) for number in range(61)]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(each).__name__ for each in done].count("SignInThrottled") == 1
        with pytest.raises(SignInThrottled):
            await local.by_passkey(SoftwareAuthenticator())
        assert (await local.enrolment.mine("anna")).recovery_codes == 0

    local(test)


def test_whoever_is_let_in_may_fail_again_as_often_as_before(local):
    async def test(local):
        codes = (await local.enrol("anna", SoftwareAuthenticator())).codes
        for code in codes[:3]:
            for _ in range(4):
                await refused(local.sign_in.by_recovery_code("anna", "wrong", local.request()), "recovery_code")
            assert (await local.sign_in.by_recovery_code("anna", code, local.request())).session.person == "anna"

    local(test)


def test_at_most_two_passwords_are_hashed_at_once(local, monkeypatch):
    running, most = [0], [0]

    async def test(local):
        await local.set_password("anna", SECRET)

        async def counted(work, *args):
            running[0] += 1
            most[0] = max(most[0], running[0])
            await asyncio.sleep(0)
            running[0] -= 1
            return work(*args)

        monkeypatch.setattr(asyncio, "to_thread", counted)
        tries = [local.sign_in.by_password(f"person-{number}", PASSWORD, "123456", local.request()) for number in range(6)]
        await asyncio.gather(*tries, return_exceptions=True)

    local(test)
    assert most == [2]


def test_a_challenge_lasts_as_long_as_the_browser_waits(local):
    async def test(local):
        assert (await local.sign_in.ask())["timeout"] == passkeys.CHALLENGE_MINUTES * 60_000

    local(test)
