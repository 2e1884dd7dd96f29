"""A day of an EHR: mixed messages of three sources come to the same courses in whichever order, and nothing is lost or counted twice."""

import asyncio
import collections
import datetime as dt
import typing

import msgspec
import pytest
from support import databases
from support.ehr_day import SOURCES, Day, Sent, merged
from support.ehr_sender import Ehr, settled
from support.fhir_bodies import START
from support.http_client import running

from ipt_workflow import journal
from ipt_workflow.course.fold import current_facts
from ipt_workflow.ehr.notices import relevance
from ipt_workflow.ehr.notices.content import Ignored
from ipt_workflow.runtime.clock import VirtualClock

NOW = START + dt.timedelta(days=14)
REASONS = {*relevance.REASONS, *typing.get_args(Ignored)}
SMALL, WHOLE = (1, 24, 160), (2, 150, 2000)  # seed, clients, messages
ORDERS = ("nsw", "nws", "snw", "swn", "wns", "wsn", "mixed", "mixed again", "at once", "bundles")


class World(msgspec.Struct, frozen=True):
    """A closed database with the courses of the day's clients and its sources, to be copied."""

    day: Day
    settings: typing.Any
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def worlds(server, tmp_path_factory):
    """Makes the world of a day, once for each size."""
    made = {}

    def world(size: tuple[int, int, int]) -> World:
        if size not in made:
            made[size] = asyncio.run(prepared(Day(*size), databases.empty(tmp_path_factory.mktemp("day"), server)))
        return made[size]

    return world


async def prepared(day: Day, settings) -> World:
    clock = VirtualClock(START)
    async with running(settings, clock) as api:
        secrets = {name: (await Ehr.register(api, name, **more)).secret for name, more in SOURCES.items()}
        for number, client in enumerate(day.clients):
            if number % 20 == 7:  # a course before this one
                await api.walk((await api.open(client.ref))["id"], "decline")
            await api.walk((await api.open(client.ref))["id"], "record_consent", "start")
    return World(day, settings, secrets)


class Run:
    """The day as it is sent to a copy of its world. `receipts` are all answers, also about each entry of a Bundle and each thing."""

    def __init__(self, world: World, api) -> None:
        self.world = world
        self.api = api
        self.sources = {name: Ehr(api, name, more["kind"], world.secrets[name]) for name, more in SOURCES.items()}
        self.receipts: list[dict] = []

    async def send(self, sent: Sent) -> None:
        ehr = self.sources[sent.source]
        if sent.key:
            answer = await ehr.notify(
                sent.kind, sent.body, key=sent.key, at=NOW - dt.timedelta(days=1) + dt.timedelta(seconds=sent.minute)
            )
        else:
            answer = await ehr.fhir(sent.body, sent.kind, sent.path)
        self.answered(answer, sent)

    def answered(self, answer, about) -> None:
        assert answer.status_code == 202, (answer.text, about)
        body = answer.json()
        for entry in body.get("entries", [body]):
            assert "problem" not in entry, (entry, about)
            self.receipts += entry.get("things", [entry])

    async def play(self, order: str) -> None:
        streams = self.world.day.streams
        if order == "at once":
            await asyncio.gather(*(self._stream(stream) for stream in streams.values()))
        elif order == "bundles":
            await asyncio.gather(*(self._bundles(name) for name in ("north", "south")))
            await self._stream(streams["west"])
        else:
            await self._stream(merged(streams, order, self.world.day.number))
        await settled(self.api)

    async def _stream(self, stream) -> None:
        for sent in stream:
            await self.send(sent)

    async def _bundles(self, source: str) -> None:
        """The messages of a source as the entries of Bundles."""
        stream = self.world.day.streams[source]
        for start in range(0, len(stream), 200):
            entries = [
                {"resource": each.body} if each.body else {"request": {"method": each.kind, "url": each.path[1:]}}
                for each in stream[start : start + 200]
            ]
            bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
            answer = await self.sources[source].fhir(bundle, "POST")
            while answer.status_code == 503:  # both sources write to the same courses
                answer = await self.sources[source].fhir(bundle, "POST")
            self.answered(answer, source)
            assert len(answer.json()["entries"]) == len(entries)


async def came_to(api, refs: list[str]) -> dict[str, dict]:
    """What the newest course of each client has come to."""
    risky = set()
    after = ""
    while True:
        found = (await api.get(f"/v1/courses?attention=risk&limit=200{after}", "supervisor")).json()
        risky |= {each["client_ref"] for each in found["items"]}
        if not found.get("next"):
            break
        after = f"&cursor={found['next']}"
    courses = {}
    for ref in refs:
        known = await api.clinic.clients.get(ref)
        course = known.courses[-1].course if known and known.courses else None
        if course is None:
            courses[ref] = None
            continue
        facts = current_facts(journal.facts(await api.clinic.entries(course.id))).values()
        measures = [each.data for each in facts if each and each.trigger == "record_measure"]
        courses[ref] = {
            "state": course.state,
            "sessions": sorted((each.at.isoformat(), each.attendance) for each in course.sessions),
            "measures": sorted((each["instrument"], moment(each["taken_at"]), each["total"]) for each in measures),
            "risk": ref in risky,
        }
    return courses


def moment(text: str) -> str:
    return msgspec.convert(text, dt.datetime).astimezone(dt.UTC).isoformat()


def expected(day: Day) -> dict[str, dict]:
    return {
        client.ref: {
            "state": state,
            "sessions": sorted(client.expected.sessions),
            "measures": sorted(client.expected.measures),
            "risk": client.expected.risk,
        }
        for state, clients in (("initial", day.clients), ("referred", day.referred))
        for client in clients
    }


async def nothing_is_lost(run: Run) -> None:
    """Each message was applied or waits, or was ignored with a known reason; what was kept is there, and each ignored one was counted."""
    stored = {row[0]: row[1] for row in await run.api.clinic.database.read(kept)}
    for receipt in run.receipts:
        assert receipt["status"] in {"applied", "waiting", "ignored"}, receipt
        assert receipt["id"] in stored if receipt["id"] else receipt["reason"] in REASONS, receipt
    assert set(stored.values()) <= {"applied", "waiting", "ignored"}
    metrics = (await run.api.get("/metrics", "auditor")).text
    counted = collections.Counter()
    for line in metrics.splitlines():
        if line.startswith(("ipt_notices_total{", "ipt_notices_ignored_total{")):
            name, _, value = line.rpartition(" ")
            if "ipt_notices_ignored" in name or 'outcome="ignored"' in name:
                counted[name.partition("{")[0]] += float(value)
    assert counted["ipt_notices_total"] == counted["ipt_notices_ignored_total"] > 0


def kept(connection) -> list:
    return [tuple(row) for row in connection.exec_driver_sql("SELECT id, status FROM notice")]


def differences(found: dict[str, dict], wanted: dict[str, dict]) -> typing.Iterator[tuple]:
    for ref, course in wanted.items():
        yield from (
            (ref, name, (found[ref] or {}).get(name), each) for name, each in course.items() if (found[ref] or {}).get(name) != each
        )


def take(worlds, tmp_path, size: tuple[int, int, int], order: str) -> None:
    world = worlds(size)
    settings = databases.copy(world.settings, tmp_path)

    async def inside() -> None:
        async with running(settings, VirtualClock(NOW)) as api:
            run = Run(world, api)
            await run.play(order)
            wanted = expected(world.day)
            found = await came_to(api, list(wanted))
            assert not list(differences(found, wanted))
            await nothing_is_lost(run)

    asyncio.run(inside())


@pytest.mark.parametrize("order", ("mixed", "wsn", "at once", "bundles"))
def test_a_small_day_comes_to_the_same_courses_in_any_order_of_its_sources(worlds, tmp_path, order):
    take(worlds, tmp_path, SMALL, order)


@pytest.mark.rest
@pytest.mark.parametrize("order", ORDERS)
def test_a_whole_day_comes_to_the_same_courses_in_any_order_of_its_sources(worlds, tmp_path, order):
    take(worlds, tmp_path, WHOLE, order)
