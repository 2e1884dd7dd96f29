"""Passkeys, recovery codes and passwords, on both databases."""

import asyncio
import datetime as dt

import msgspec
import pytest
from support.http_client import START

from ipt_workflow.store import access, credentials, people, person_identities
from ipt_workflow.store.access import OneTime
from ipt_workflow.store.credentials import PasskeyTaken, StoredPasskey, StoredPassword
from ipt_workflow.store.databases.factory import open_database

HANDLE = b"\x07" * 32
LARGEST = 2**32 - 1  # a sign counter has 32 bits


def passkey(number: int = 1, **changed) -> StoredPasskey:
    known = {
        "id": f"{number:064x}",
        "person": "anna",
        "user_handle": HANDLE,
        "credential": bytes([number]) * 100,
        "sign_count": 0,
        "synced": False,
        "created_at": START + dt.timedelta(minutes=number),
    }
    return StoredPasskey(**{**known, **changed})


def password(**changed) -> StoredPassword:
    known = {"person": "anna", "hash": "$argon2id$1", "second_factor": "plain:ABC", "used_step": 0, "changed_at": START}
    return StoredPassword(**{**known, **changed})


@pytest.fixture
def run(database_url):
    """Runs a coroutine function with `write(function, *args)`, as for the organisation `default`."""

    def run(test):
        async def inside():
            database = open_database(database_url)

            async def write(query, *args, organisation="default", **named):
                def work(connection):
                    return query(connection, organisation, *args, **named)

                return await database.write(work, organisations=(organisation,))

            try:
                return await test(write)
            finally:
                await database.close()

        return asyncio.run(inside())

    return run


def test_a_passkey_is_found_in_its_organisation_alone(run):
    async def test(write):
        await write(credentials.add_passkey, passkey())
        assert await write(credentials.find_passkey, passkey().id) == passkey()
        assert await write(credentials.find_passkey, passkey().id, organisation="north") is None
        assert await write(credentials.passkeys_of, "anna", organisation="north") == []

    run(test)


def test_a_passkey_is_added_once_and_all_of_a_person_have_one_user_handle(run):
    async def test(write):
        await write(credentials.add_passkey, passkey(2))
        await write(credentials.add_passkey, passkey(1))
        for taken in (passkey(2, person="ben"), passkey(3, user_handle=b"\x08" * 32)):
            with pytest.raises(PasskeyTaken):
                await write(credentials.add_passkey, taken)
        assert [each.id for each in await write(credentials.passkeys_of, "anna")] == [passkey(1).id, passkey(2).id]
        assert await write(credentials.passkeys_of, "ben") == []

    run(test)


def test_of_two_sign_ins_with_one_counter_one_is_noted(run):
    async def test(write):
        await write(credentials.add_passkey, passkey(sign_count=3))
        known = await write(credentials.find_passkey, passkey().id)
        assert await write(credentials.note_passkey, known, LARGEST, synced=True, at=START)
        assert not await write(credentials.note_passkey, known, 5, synced=True, at=START)
        now = await write(credentials.find_passkey, passkey().id)
        assert (now.sign_count, now.synced, now.used_at) == (LARGEST, True, START)

    run(test)


def test_only_the_person_of_a_passkey_loses_it_and_keeps_the_last(run):
    async def test(write):
        for each in (passkey(1), passkey(2), passkey(3, person="ben"), passkey(4, person="ben")):
            await write(credentials.add_passkey, each)
        assert not await write(credentials.remove_passkey_but_last, "ben", passkey(1).id)
        assert await write(credentials.remove_passkey_but_last, "anna", passkey(1).id)
        assert not await write(credentials.remove_passkey_but_last, "anna", passkey(1).id)
        assert not await write(credentials.remove_passkey_but_last, "anna", passkey(2).id)

    run(test)


def link(secret="l", hours=24, person=b"anna") -> OneTime:
    return OneTime(kind="enrolment", hash=secret * 64, data=person, created_at=START, expires_at=START + dt.timedelta(hours=hours))


def test_a_link_enrols_once_and_until_it_expires(run):
    async def test(write):
        for secret, at, done in (("l", START, True), ("l", START, False), ("m", START + dt.timedelta(hours=24), False)):
            if secret == "m":
                await write(credentials.keep_link, link("m"), 10)
            elif done:
                await write(credentials.keep_link, link(), 10)
            new = passkey(1 if done else 2)
            assert await write(credentials.enrol, secret * 64, "anna", ["a" * 64], at, passkey=new) is done
        assert [each.id for each in await write(credentials.passkeys_of, "anna")] == [passkey(1).id]

    run(test)


def test_a_link_that_could_not_enrol_can_be_used_again(run):
    async def test(write):
        await write(credentials.add_passkey, passkey(person="ben"))
        await write(credentials.keep_link, link(), 10)
        with pytest.raises(PasskeyTaken):
            await write(credentials.enrol, "l" * 64, "anna", ["a" * 64], START, passkey=passkey())
        assert await write(credentials.codes_left, "anna") == 0
        assert await write(credentials.enrol, "l" * 64, "anna", ["a" * 64], START, password=password())
        assert await write(credentials.find_password, "anna") == password()

    run(test)


def test_a_new_link_of_a_person_takes_the_place_of_the_one_before(run):
    async def test(write):
        for secret, person in (("l", b"anna"), ("m", b"ben"), ("n", b"anna")):
            assert await write(credentials.keep_link, link(secret, person=person), 2)
        assert not await write(credentials.keep_link, link("o", person=b"cleo"), 2)
        assert not await write(credentials.enrol, "l" * 64, "anna", ["a" * 64], START, passkey=passkey())
        assert await write(credentials.enrol, "n" * 64, "anna", ["a" * 64], START, passkey=passkey())

    run(test)


def test_a_recovery_code_is_used_once_and_only_by_its_person(run):
    async def test(write):
        await write(credentials.replace_codes, "anna", ["a" * 64, "b" * 64], START)
        assert not await write(credentials.use_code, "ben", "a" * 64)
        assert not await write(credentials.use_code, "anna", "a" * 64, organisation="north")
        assert await write(credentials.use_code, "anna", "a" * 64)
        assert not await write(credentials.use_code, "anna", "a" * 64)
        assert await write(credentials.codes_left, "anna") == 1

    run(test)


def test_of_many_who_use_one_thing_at_once_one_does(run):
    """A recovery code, the code of an app, and a link to enrol."""

    async def test(write):
        await write(credentials.set_password, password())
        for number in range(5):
            await write(credentials.replace_codes, "anna", ["a" * 64], START)
            using = [write(credentials.use_code, "anna", "a" * 64) for _ in range(4)]
            assert sum(await asyncio.gather(*using)) == 1
            using = [write(credentials.use_step, "anna", number + 1, "$argon2id$1") for _ in range(4)]
            assert sum(await asyncio.gather(*using)) == 1
            await write(credentials.keep_link, link(), 10)
            made = [passkey(10 * number + each) for each in range(1, 5)]
            using = [write(credentials.enrol, "l" * 64, "anna", [f"{each}" * 64], START, passkey=made[each]) for each in range(4)]
            assert sum(await asyncio.gather(*using)) == 1
            assert len(await write(credentials.passkeys_of, "anna")) == number + 1

    run(test)


def test_two_who_claim_to_be_one_person_at_once_are_not_both_linked(run):
    async def test(write):
        for number in range(5):
            person = f"person-{number}"
            await write(people.make_known, person, "therapist", START)
            subjects = [f"{person} {each}" for each in range(3)]
            claiming = [write(person_identities.link_first, "https://idp.example", each, person, START) for each in subjects]
            assert [each.person for each in await asyncio.gather(*claiming) if each] == [person]

    run(test)


def test_new_recovery_codes_replace_those_of_the_same_person(run):
    async def test(write):
        await write(credentials.replace_codes, "ben", ["c" * 64], START)
        await write(credentials.replace_codes, "anna", ["a" * 64], START)
        await write(credentials.replace_codes, "anna", ["b" * 64], START)
        assert not await write(credentials.use_code, "anna", "a" * 64)
        assert await write(credentials.use_code, "anna", "b" * 64)
        assert await write(credentials.codes_left, "ben") == 1

    run(test)


def test_a_step_is_used_once_and_no_earlier_one_after_it(run):
    async def test(write):
        await write(credentials.set_password, password())
        assert [await write(credentials.use_step, "anna", step, "$argon2id$1") for step in (100, 100, 99, 101)] == [
            True,
            False,
            False,
            True,
        ]
        assert not await write(credentials.use_step, "anna", 102, "$argon2id$another")
        assert not await write(credentials.use_step, "ben", 102, "$argon2id$1")

    run(test)


def test_a_new_password_takes_the_place_of_the_one_before(run):
    async def test(write):
        await write(credentials.set_password, password())
        later = password(hash="$argon2id$2", used_step=7)
        await write(credentials.set_password, later)
        assert await write(credentials.find_password, "anna") == later
        assert await write(credentials.find_password, "ben") is None

    run(test)


def test_everything_of_a_person_is_removed_and_nothing_of_others(run):
    async def test(write):
        await write(credentials.add_passkey, passkey(1))
        await write(credentials.add_passkey, passkey(2, person="ben"))
        await write(credentials.replace_codes, "anna", ["a" * 64], START)
        await write(credentials.set_password, password())
        await write(credentials.set_password, msgspec.structs.replace(password(), person="ben"))
        await write(credentials.keep_link, link(person=b'{"person":"anna"}'), 10)
        await write(credentials.keep_link, link("m", person=b'{"person":"ben"}'), 10)
        await write(credentials.remove_all, "anna", START)
        assert await write(access.look, ("enrolment",), "m" * 64, START)
        assert not await write(credentials.enrol, "l" * 64, "anna", ["a" * 64], START)
        assert await write(credentials.passkeys_of, "anna") == []
        assert await write(credentials.codes_left, "anna") == 0
        assert await write(credentials.find_password, "anna") is None
        assert await write(credentials.find_passkey, passkey(2).id)
        assert await write(credentials.find_password, "ben")

    run(test)


def test_who_loses_every_role_loses_their_passkeys_and_who_loses_one_keeps_them(run):
    async def test(write):
        await write(credentials.add_passkey, passkey(1))
        await write(credentials.keep_link, link(person=b'{"person":"anna"}'), 10)
        assert await write(credentials.end_roles, "anna", ["therapist"], START) == 0
        assert await write(access.look, ("enrolment",), "l" * 64, START)
        assert await write(credentials.end_roles, "anna", ["therapist", "supervisor", "auditor", "admin", "ehr"], START) == 1
        assert await write(access.look, ("enrolment",), "l" * 64, START) is None
        assert await write(credentials.passkeys_of, "anna") == []

    run(test)
