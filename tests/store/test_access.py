"""Sessions of people and what may be used once, on both databases."""

import asyncio
import datetime as dt

import msgspec
import pytest
from support.http_client import START

from ipt_workflow.service.clinic import new_organisation
from ipt_workflow.store import access, lookups, organisations, people
from ipt_workflow.store.access import OneTime, StoredSession
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.loader import SharedLoader
from ipt_workflow.store.lookups import KnownSession
from ipt_workflow.store.people import PersonUpdate

HOUR = dt.timedelta(hours=1)


def session(**changed):
    known = {
        "id": "0" * 16,
        "organisation": "default",
        "secret_hash": "s" * 64,
        "person": "therapist-1",
        "role": "therapist",
        "roles": "therapist supervisor",
        "method": "oidc",
        "created_at": START,
        "authenticated_at": START,
        "seen_at": START,
        "expires_at": START + 10 * HOUR,
        "issuer": "https://idp.example",
        "subject": "alice",
        "provider_session": "p-1",
    }
    return StoredSession(**{**known, **changed})


@pytest.fixture
def run(database_url):
    """Runs a coroutine function with `write(function, *args)` on the test's own database."""

    def run(test):
        async def inside():
            database = open_database(database_url)

            async def write(function, *args):
                return await database.write(function, *args, organisations=("default", "north"))

            try:
                for each in ("default", "north"):
                    for person in ("therapist-1", "therapist-2"):
                        for role in ("therapist", "supervisor"):
                            await write(people.make_known, each, person, role, START)
                return await test(write)
            finally:
                await database.close()

        return asyncio.run(inside())

    return run


def test_a_session_is_found_by_its_id_alone_and_tells_its_organisation(run, database_url):
    async def test(write):
        database = open_database(database_url)
        loader = SharedLoader(database, lookups.SESSIONS)
        await write(organisations.insert, new_organisation("north", START))
        theirs = session(id="1" * 16, organisation="north")
        for each in (session(), theirs):
            await write(access.insert, each.organisation, each, START)
            assert await write(access.find, each.organisation, each.id) == each
            assert await loader.start(None, each.id) == KnownSession(each, "active", 1)
        assert await loader.start(None, "2" * 16) is None
        assert await write(access.find, "default", theirs.id) is None
        await database.close()

    run(test)


def test_the_sessions_in_which_a_lost_role_could_be_taken_end(run):
    async def test(write):
        await write(access.insert, "default", session(), START)
        await write(access.insert, "default", session(id="1" * 16, roles="supervisor", role="supervisor"), START)
        await write(access.insert, "default", session(id="2" * 16, person="therapist-2"), START)
        assert await write(access.end_roles, "default", "therapist-1", ("auditor",), START) == 0
        assert await write(access.end_roles, "default", "therapist-1", ("therapist",), START) == 1
        assert await write(access.end_roles, "default", "therapist-1", ("therapist", "supervisor"), START) == 1
        assert len(await write(access.of_person, "default", "therapist-2", START)) == 1

    run(test)


def test_ended_and_expired_sessions_are_not_listed_and_cannot_be_changed(run):
    async def test(write):
        for number in range(3):
            await write(access.insert, "default", session(id=str(number) * 16), START)
        assert await write(access.change, "default", "0" * 16, {"ended_at": START, "ended_why": "ended"})
        assert not await write(access.change, "default", "0" * 16, {"role": "supervisor"})
        assert await write(access.change, "default", "1" * 16, {"expires_at": START + HOUR})
        assert [each.id for each in await write(access.of_person, "default", "therapist-1", START + HOUR)] == ["2" * 16]
        assert await write(access.of_person, "north", "therapist-1", START) == []

    run(test)


@pytest.mark.parametrize("changed", (PersonUpdate(status="left", left_at=START), PersonUpdate(roles=("therapist",))))
def test_no_session_begins_or_goes_on_for_who_has_left_or_lost_a_role_meanwhile(run, changed):
    async def test(write):
        assert await write(access.insert, "default", session(), START)
        await write(people.change, "default", "therapist-1", changed)
        for person in ("therapist-1", "nobody"):
            assert not await write(access.insert, "default", session(id="1" * 16, person=person), START)
        assert not await write(access.replace, "default", "0" * 16, session(id="2" * 16), "role")
        assert [each.id for each in await write(access.of_person, "default", "therapist-1", START)] == ["0" * 16]
        assert await write(access.insert, "default", session(id="3" * 16, person="therapist-2"), START)

    run(test)


def test_no_session_outlives_who_leaves_whichever_came_first(run):
    def leave(connection, organisation):
        people.lock(connection, organisation, "therapist-1")
        people.change(connection, organisation, "therapist-1", PersonUpdate(status="left", left_at=START))
        return access.end_roles(connection, organisation, "therapist-1", ("therapist",), START)

    async def test(write):
        beginning = [write(access.insert, "default", session(id=str(number) * 16), START) for number in range(6)]
        begun = await asyncio.gather(*beginning[:3], write(leave, "default"), *beginning[3:])
        ended = begun.pop(3)
        assert begun.count(True) == ended
        assert await write(access.of_person, "default", "therapist-1", START) == []

    run(test)


def test_a_session_is_followed_by_one_other_or_by_none(run):
    async def test(write):
        await write(access.insert, "default", session(), START)
        assert await write(access.replace, "default", "0" * 16, session(id="1" * 16), "role")
        assert not await write(access.replace, "default", "0" * 16, session(id="2" * 16), "role")
        assert (await write(access.find, "default", "0" * 16)).ended_why == "role"
        assert await write(access.find, "default", "2" * 16) is None

    run(test)


@pytest.mark.parametrize(
    ("named", "ended"), ((("p-1", None), {"0"}), ((None, "alice"), {"0", "1"}), (("p-1", "bob"), set()), (("p-3", None), set()))
)
def test_a_provider_ends_the_sessions_that_it_names(run, named, ended):
    async def test(write):
        await write(access.insert, "default", session(), START)
        await write(access.insert, "default", session(id="1" * 16, provider_session="p-2"), START)
        await write(access.insert, "default", session(id="2" * 16, issuer="https://other.example"), START)
        await write(access.insert, "north", session(id="3" * 16, organisation="north"), START)
        found = await write(access.end_of_provider, "default", "https://idp.example", *named, START)
        assert {each.id[0] for each in found} == ended
        assert await write(access.end_of_provider, "default", "https://idp.example", *named, START) == []

    run(test)


def test_sessions_that_were_over_long_ago_are_removed_when_another_begins(run):
    async def test(write):
        await write(access.insert, "default", session(), START)
        await write(access.insert, "default", session(id="1" * 16), START + 10 * HOUR)
        assert await write(access.find, "default", "0" * 16) is not None
        await write(access.insert, "default", session(id="2" * 16), START + 11 * HOUR)
        assert await write(access.find, "default", "0" * 16) is None

    run(test)


@pytest.mark.parametrize(("named", "ended"), ((("p-3", "alice"), {"0"}), (("p-3", None), set()), (("p-3", "bob"), set())))
def test_a_session_whose_own_id_the_provider_never_told_ends_with_any_of_its_subject(run, named, ended):
    async def test(write):
        await write(access.insert, "default", session(provider_session=None), START)
        await write(access.insert, "default", session(id="1" * 16), START)
        found = await write(access.end_of_provider, "default", "https://idp.example", *named, START)
        assert {each.id[0] for each in found} == ended

    run(test)


def test_a_logout_token_is_used_once_however_many_bring_it_at_once(run):
    async def test(write):
        await write(access.insert, "default", session(), START)
        token = msgspec.structs.replace(SECRET, kind="logout")
        bringing = [write(access.end_by_token, "default", token, "https://idp.example", "p-1", None, START) for _ in range(4)]
        found = await asyncio.gather(*bringing)
        assert sorted(len(each) if each is not None else -1 for each in found) == [-1, -1, -1, 1]

    run(test)


SECRET = OneTime(kind="oidc", hash="h" * 64, data=b'{"nonce":"n"}', created_at=START, expires_at=START + HOUR)


def test_what_may_be_used_once_is_used_once_by_its_kind_and_in_time(run):
    async def test(write):
        assert await write(access.keep, "default", SECRET, 10)
        assert await write(access.use, "north", "oidc", SECRET.hash, START) is None
        assert await write(access.use, "default", "link", SECRET.hash, START) is None
        assert await write(access.use, "default", "oidc", SECRET.hash, START + HOUR) is None
        assert await write(access.look, "default", ("oidc", "link"), SECRET.hash, START) == SECRET
        assert await write(access.use, "default", "oidc", SECRET.hash, START) == SECRET
        assert await write(access.use, "default", "oidc", SECRET.hash, START) is None

    run(test)


def test_of_many_who_use_it_at_once_one_does(run):
    async def test(write):
        assert await write(access.keep, "default", SECRET, 10)
        found = await asyncio.gather(*(write(access.use, "default", "oidc", SECRET.hash, START) for _ in range(5)))
        assert [each for each in found if each] == [SECRET]

    run(test)


def test_whoever_begins_many_makes_the_oldest_go_and_keeps_nobody_out(run):
    async def test(write):
        for number in range(25):
            at = START + dt.timedelta(seconds=number)
            begun = msgspec.structs.replace(SECRET, hash=f"{number:064}", created_at=at)
            await write(access.keep_newest, "default", begun, 20)
        left = [number for number in range(25) if await write(access.look, "default", ("oidc",), f"{number:064}", START)]
        assert left == list(range(6, 25))
        assert await write(access.keep, "default", msgspec.structs.replace(SECRET, kind="link"), 1)
        await write(access.keep_newest, "north", SECRET, 1)
        assert await write(access.look, "default", ("link",), SECRET.hash, START) is not None

    run(test)


def test_only_so_many_are_kept_and_expired_ones_make_room(run):
    async def test(write):
        for number in range(2):
            assert await write(access.keep, "default", msgspec.structs.replace(SECRET, hash=str(number) * 64), 2)
        more = msgspec.structs.replace(SECRET, hash="2" * 64)
        assert not await write(access.keep, "default", more, 2)
        assert await write(access.keep, "north", more, 2)
        later = msgspec.structs.replace(more, created_at=START + HOUR, expires_at=START + 2 * HOUR)
        assert await write(access.keep, "default", later, 2)

    run(test)


def test_what_others_made_is_new_only_the_first_time(run):
    async def test(write):
        assert await write(access.first_time, "default", SECRET)
        assert not await write(access.first_time, "default", SECRET)
        later = msgspec.structs.replace(SECRET, created_at=START + HOUR, expires_at=START + 2 * HOUR)
        assert await write(access.first_time, "default", later)

    run(test)
