"""An EHR sends notices while the service is killed: each that was acknowledged is there once, and so is each that is sent again."""

import asyncio
import collections
import datetime as dt
import itertools
import random

import httpx
import pytest

from faults import after
from faults.service import command

POINTS = ("before_commit", "after_commit", "before_answer")
SENDERS, COURSES = 6, 3
SECRET = "a" * 32
ANSWERS = ("LA6568-5", "LA6569-3")
PHQ9 = ("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8")


class Sender:
    """An EHR that sends each form until it is acknowledged, some of them twice."""

    def __init__(self, url: str, seed: int, name: str) -> None:
        self.url = url
        self.name = name
        self.chance = random.Random(f"{name}/{seed}")
        self.numbers = itertools.count(1)
        self.opened = dt.datetime.now(dt.UTC)
        self.sent: dict[str, str] = {}  # the client of each resource
        self.acknowledged: dict[str, set[str]] = collections.defaultdict(set)
        self.stopped = False
        self._http = httpx.AsyncClient(timeout=5, verify=False, headers={"Authorization": f"Bearer {SECRET}"})

    def client(self, number: int) -> str:
        return f"{self.name}-{number}"

    async def open(self, token: str) -> None:
        for number in range(COURSES):
            body = {"client_ref": self.client(number), "protocol": "ipt", "data": {"source": "GP", "indication": "depression"}}
            answer = await self._http.post(f"{self.url}/v1/courses", json=body, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 201, answer.text

    async def run(self) -> None:
        await asyncio.gather(*(self._send_on() for _ in range(SENDERS)))
        await self._http.aclose()

    async def _send_on(self) -> None:
        while not self.stopped:
            form = self._form()
            for _ in range(self.chance.choice((1, 1, 2))):
                await self._until_acknowledged(form)

    def _form(self) -> dict:
        number = next(self.numbers)
        client = self.client(self.chance.randrange(COURSES + 1))  # the last has no course
        name = f"{self.name}-{number}"
        self.sent[name] = client
        return {
            "resourceType": "QuestionnaireResponse",
            "id": name,
            "meta": {"versionId": "1"},
            "status": "completed",
            "subject": {"reference": f"Patient/{client}"},
            "authored": (self.opened - dt.timedelta(minutes=number)).isoformat(),
            "item": [
                {
                    "linkId": f"/{code}",
                    "answer": [{"valueCoding": {"system": "http://loinc.org", "code": self.chance.choice(ANSWERS)}}],
                }
                for code in PHQ9
            ],
        }

    async def _until_acknowledged(self, form: dict) -> None:
        path = f"{self.url}/v1/ehr/fhir/north/QuestionnaireResponse/{form['id']}"
        headers = {"content-type": "application/fhir+json", "accept": "application/json"}
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await self._http.put(path, json=form, headers=headers)
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 202:
                    self.acknowledged[form["id"]].add(answer.json()["id"])
                    return
                assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)


@pytest.mark.matrix(6)
@pytest.mark.parametrize("point", POINTS)
def test_each_notice_is_there_once_when_the_service_is_killed(place, seeds, point, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    added = command(place.url, "source", "add", "north", "--kind", "bearer", "--secret-file", str(secret))
    assert added.returncode == 0, added.stdout + added.stderr

    async def play():
        async with place.service() as service:
            for seed in seeds:
                calls = random.Random(f"{point}/{seed}").randint(2, 30)
                await service.start(test_kill=f"{point}:{calls}")
                sender = Sender(service.url, seed, f"{point.replace('_', '-')}-{seed}")
                await sender.open(place.tokens["therapist"])
                working = asyncio.create_task(sender.run())
                service.arm()
                assert await service.killed(seconds=20), f"it did not reach {point} {calls} times"
                await service.start()
                await asyncio.sleep(0.5)
                sender.stopped = True
                await working
                await check(place, sender)
                await service.stop()

    asyncio.run(play())
    after.verifies(place.url)


async def check(place, sender: Sender) -> None:
    prefix = f"QuestionnaireResponse/{sender.name}-"
    rows = await place.rows(f"SELECT resource, id, status, course_id, seq FROM notice WHERE resource LIKE '{prefix}%'")
    assert sorted(row[0] for row in rows) == sorted(f"QuestionnaireResponse/{name}" for name in sender.sent)  # each once
    assert len(sender.sent) > SENDERS
    entries = {(row[0], row[1]) for row in await place.rows("SELECT course_id, seq FROM entry")}
    for resource, notice_id, status, course, seq in rows:
        name = str(resource).partition("/")[2]
        assert sender.acknowledged[name] == {notice_id}
        waits = sender.sent[name] == sender.client(COURSES)
        assert status == ("waiting" if waits else "applied")
        assert waits or (course, seq) in entries
    applied = [(row[3], row[4]) for row in rows if row[2] == "applied"]
    assert len(set(applied)) == len(applied)
    made = await place.rows("SELECT count(*) FROM audit_event WHERE kind = 'notice' AND action LIKE 'fhir.QuestionnaireResponse%'")
    everything = await place.rows("SELECT count(*) FROM notice")
    assert made == everything  # the record of each notice is committed with it
