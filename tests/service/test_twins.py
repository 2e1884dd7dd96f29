"""Processes that start at the same time do the same things to the database, and none of them fails."""

import asyncio

from support import databases, protocol_versions
from support.http_client import OPERATOR, START

from ipt_workflow.errors import ProtocolInvalid
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service import sandbox
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import open_clinic

TWINS = 4


async def opened_at_once(*settings) -> list:
    return await asyncio.gather(*(open_clinic(each, VirtualClock(START)) for each in settings), return_exceptions=True)


async def closed(clinics) -> None:
    for clinic in clinics:
        if not isinstance(clinic, BaseException):
            await clinic.installation.close()


def stored(settings) -> int:
    return databases.select(settings, "SELECT count(*) FROM protocol")[0][0]


def test_the_first_start_of_several_processes_stores_every_protocol_once(database_url):
    settings = databases.settings_of(database_url)

    async def test():
        clinics = await opened_at_once(*[settings] * TWINS)
        assert [each for each in clinics if isinstance(each, BaseException)] == []
        assert len({tuple(each._by_digest) for each in clinics}) == 1
        await closed(clinics)
        return len(clinics[0].catalogue.protocols)

    assert asyncio.run(test()) == stored(settings)


def test_a_protocol_file_that_was_added_is_stored_by_several_processes_once(database_url, tmp_path):
    settings = databases.settings_of(database_url)
    added = protocol_versions.settings_with(settings, protocol_versions.config(tmp_path / "config"))

    async def test():
        await closed(await opened_at_once(settings))
        clinics = await opened_at_once(*[added] * TWINS)
        await closed(clinics)
        assert [each for each in clinics if isinstance(each, BaseException)] == []

    asyncio.run(test())
    assert databases.select(settings, "SELECT version FROM protocol WHERE id = 'ipt' ORDER BY version")[-1] == (3,)


def test_several_tokens_are_created_at_once_on_a_new_database(database_url):
    settings = databases.settings_of(database_url)

    async def create(number: int) -> str:
        clinic = await open_clinic(settings, VirtualClock(START))
        try:
            return (await Tokens(clinic).create(OPERATOR, NewToken(role="admin", name=f"admin-{number}"))).id
        finally:
            await clinic.installation.close()

    async def test():
        return await asyncio.gather(*(create(number) for number in range(TWINS)))

    assert sorted(asyncio.run(test())) == sorted(row[0] for row in databases.select(settings, "SELECT id FROM token"))


def test_a_sandbox_that_several_processes_make_at_once_is_made_once(server, tmp_path):
    url = databases.create(server) if server else f"sqlite:///{tmp_path}/sandbox.db"
    settings = databases.settings_of(url)

    async def test():
        await asyncio.gather(*(sandbox.make(settings) for _ in range(TWINS)))

    asyncio.run(test())
    assert databases.select(settings, "SELECT nth FROM sandbox_move") == [(1,)]


def test_of_two_processes_with_different_files_under_one_version_one_is_refused(database_url, tmp_path):
    """Whichever comes second. Were both to run, a course could follow another protocol than the one that is stored."""
    settings = databases.settings_of(database_url)
    versions = {"smaller": protocol_versions.SMALLER_CAP, "larger": protocol_versions.LARGER_CAP}
    folders = [protocol_versions.config(tmp_path / name, replaced) for name, replaced in versions.items()]

    async def test():
        clinics = await opened_at_once(*(protocol_versions.settings_with(settings, folder) for folder in folders))
        await closed(clinics)
        return clinics

    refused = [each for each in asyncio.run(test()) if isinstance(each, BaseException)]
    assert [type(each) for each in refused] == [ProtocolInvalid]
