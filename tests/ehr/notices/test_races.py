"""Several processes that take the messages of one EHR, and what a message costs."""

import asyncio
import collections
import dataclasses
import datetime as dt
import json
import random

import pytest
from support import databases
from support.ehr_sender import Ehr, course, inbox, started
from support.fhir_bodies import START, appointment, at, encounter, form
from support.http_client import running

from ipt_workflow.ehr.notices.fhir_hooks import Hook, RestHooks
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.sources import VerifiedSender
from ipt_workflow.errors import Busy
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import sources as stored_sources

PROCESSES = 3
STATES = ("booked", "noshow", "fulfilled", "noshow", "fulfilled")


@pytest.fixture
def on_both(server, tmp_path):
    """Runs a test with a started course of EHR-1 and a source of FHIR."""
    settings = databases.empty(tmp_path, server)

    def run(test):
        async def inside():
            async with running(settings, VirtualClock(START)) as api:
                ehr = await Ehr.register(api, kind="bearer")
                return await test(api, ehr, await started(api))

        return asyncio.run(inside())

    return run


async def take(hooks: RestHooks, sender: VerifiedSender, resource: dict) -> None:
    hook = Hook(method="PUT", name=f"{resource['resourceType']}/{resource['id']}", headers={}, body=json.dumps(resource).encode())
    for _ in range(20):
        try:
            await hooks.receive(sender, hook)
        except Busy:  # the EHR sends it again
            continue
        return
    raise AssertionError("it stays busy")


@pytest.mark.parametrize("seed", (1, 2, 3))
def test_processes_that_take_the_versions_of_one_resource_at_once_agree_on_the_newest(on_both, seed):
    async def test(api, ehr, course_id):
        others = [await open_clinic(api.clinic.settings, api.clinic.clock) for _ in range(PROCESSES - 1)]
        try:
            hooks = [RestHooks(Notices(clinic)) for clinic in (api.clinic, *others)]
            sender = VerifiedSender(await api.clinic.read(stored_sources.find, "north"), "bearer")
            sent = [
                appointment(f"A{day}", version, status=what, start=at(day), end=at(day, minutes=50))
                for day in (2, 4, 6)
                for version, what in enumerate(STATES, start=1)
            ]
            sent += [form([1] * 7 + [version % 4, 0], "Q1", version=version) for version in range(1, 6)]
            arrivals = [(random.Random(f"{seed}{copy}{n}").random(), each) for copy in range(2) for n, each in enumerate(sent)]
            shuffled = [each for _, each in sorted(arrivals, key=lambda pair: pair[0])]
            await asyncio.gather(*(take(hooks[n % PROCESSES], sender, each) for n, each in enumerate(shuffled)))
        finally:
            for clinic in others:
                await clinic.installation.close()
        found = await course(api, course_id)
        assert [(each["attendance"], each["ref"]) for each in found["sessions"]] == [
            ("5", f"Appointment/A{day}") for day in (2, 4, 6)
        ]
        assert (found["measures"]["phq9@1"]["count"], found["measures"]["phq9@1"]["last"]["total"]) == (1, 8)
        assert await inbox(api) == []

    on_both(test)


# What a message costs


@dataclasses.dataclass
class Counting:
    """Counts what a clinic asks of its database."""

    database: object
    calls: collections.Counter

    def __getattr__(self, name):
        found = getattr(self.database, name)
        if name not in {"read", "write", "find", "fetch", "put"}:
            return found

        async def counted(*args, **more):
            self.calls[name] += 1
            return await found(*args, **more)

        return counted


def test_an_applied_notice_is_one_write_and_reads_no_journal(on_both, monkeypatch):
    async def test(api, ehr, course_id):
        clinic = api.clinic
        journals = []
        entries = clinic.entries
        monkeypatch.setattr(clinic, "entries", lambda *args: journals.append(args) or entries(*args))
        await ehr.fhir(encounter("E0", period={"start": at(2), "end": at(2, minutes=50)}))
        calls = collections.Counter()
        loaders = (clinic.versions, clinic.clients, clinic.notices, clinic.courses)
        for owner in (clinic.committer, *(each._shared for each in loaders)):
            monkeypatch.setattr(owner, "_database", Counting(owner._database, calls))
        assert (await ehr.fhir(encounter("E1"))).json()["status"] == "applied"
        assert (calls["put"], calls["write"], calls["read"]) == (1, 0, 0)
        assert calls["find"] <= 4
        assert journals == []

    on_both(test)


@pytest.mark.parametrize("resource", ({"resourceType": "Patient", "id": "EHR-1"}, {"resourceType": "Condition", "id": "C1"}))
def test_what_does_not_concern_us_writes_nothing_the_second_time(on_both, monkeypatch, resource):
    async def test(api, ehr, course_id):
        await ehr.fhir(resource)
        calls = collections.Counter()
        monkeypatch.setattr(api.clinic.committer, "_database", Counting(api.clinic.committer._database, calls))
        api.clinic.clock.advance(dt.timedelta(minutes=1))
        assert (await ehr.fhir(resource)).json()["status"] == "ignored"
        assert calls == {}

    on_both(test)
