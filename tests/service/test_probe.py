"""Readiness writes: once however many ask, and at most once a second."""

import asyncio

from support import service_walk

from ipt_workflow.service import probe


class Counted:
    """A database that counts probes."""

    def __init__(self, database):
        self._database = database
        self.probes = 0

    async def probe(self, organisation):
        self.probes += 1
        await self._database.probe(organisation)


def test_many_who_ask_at_once_or_soon_after_share_one_write(database_url, monkeypatch):
    monkeypatch.setattr(probe, "FRESH_SECONDS", 60.0)
    settings = service_walk.databases.settings_of(database_url)

    async def test(clinic):
        counted = Counted(clinic.database)
        asked = probe.WriteProbe(counted, clinic.organisation)
        await asyncio.gather(*(asked.passed() for _ in range(20)))
        await asked.passed()
        assert counted.probes == 1
        monkeypatch.setattr(probe, "FRESH_SECONDS", 0.0)
        await asked.passed()
        assert counted.probes == 2

    service_walk.with_clinic(settings, test)
    assert service_walk.databases.select(settings, "SELECT organisation FROM probe") == [("default",)]


def test_one_who_goes_away_does_not_end_the_write_of_the_others(database_url):
    async def test(clinic):
        asked = probe.WriteProbe(clinic.database, clinic.organisation)
        leaving, staying = asyncio.create_task(asked.passed()), asyncio.create_task(asked.passed())
        await asyncio.sleep(0)
        leaving.cancel()
        await staying

    service_walk.with_clinic(service_walk.databases.settings_of(database_url), test)
