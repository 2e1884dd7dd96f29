"""A seeded day of an EHR: the messages of three sources about many clients, and what the courses must come to.

`north` codes its visits, `south` is a source of IPT alone, and `west` sends our own types. Each message has a version that tells its order,
so what the courses come to depends on no order of arrival.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from support.fhir_bodies import appointment, at, encounter, form

SOURCES = {
    "north": {"kind": "bearer", "secret": "n" * 32},
    "south": {"kind": "x-signature", "secret": "s" * 32, "all_visits": True},
    "west": {"kind": "standard-webhooks"},
}
SLOTS = [(day, hour) for day in range(1, 13) for hour in (0, 2, 4, 6)]  # days and hours since the start; no two of them overlap
HELD_MAX = 3  # the cap of the first phase
MEASURES = {"phq9@1": 9, "gad7@1": 7}
TWICE, LATE = 10, 20  # one message in so many is sent twice, or comes late
BY_CLIENT = {"coding": [{"code": "pat"}]}
DENTAL = {"coding": [{"system": "http://snomed.info/sct", "code": "34043003"}]}


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `kind` is a type of our own, or the method of a FHIR request with its `path`. `ordered`: it may not come late."""

    source: str
    kind: str
    body: Any
    path: str | None = None
    key: str = ""
    minute: int = 0
    ordered: bool = False


class Expected(msgspec.Struct):
    """What a client's course must come to: sessions by time and attendance, measures by scale, time and total."""

    sessions: set[tuple[str, str]]
    measures: set[tuple[str, str, int]]
    risk: bool = False


class Client:
    """A client of the day, with the times that are still free."""

    def __init__(self, ref: str, randomness: random.Random) -> None:
        self.ref = ref
        self.held = 0
        self.free = random.Random(randomness.random()).sample(SLOTS, len(SLOTS))
        self.days = {scale: list(range(1, 13)) for scale in MEASURES}
        self.expected = Expected(set(), set())

    @property
    def subject(self) -> dict[str, str]:
        return {"reference": f"Patient/{self.ref}"}


def moment(slot: tuple[int, int], **more: int) -> str:
    return at(slot[0], hours=slot[1], **more)


class Day:
    """Makes messages until there are as many as wanted."""

    def __init__(self, seed: int, clients: int, messages: int) -> None:
        self.random = random.Random(seed)
        self.clients = [Client(f"D-{number:03}", self.random) for number in range(clients)]
        self.referred = [Client(f"R-{number:03}", self.random) for number in range(clients // 10)]
        self.number = 0
        self.streams: dict[str, list[Sent]] = {name: [] for name in SOURCES}
        for client in self.referred:
            self._referral(client)
        for case in (self._no_show_that_was_held, self._form_with_risk_after_all, self._visit_that_moved):
            case()  # three corrections
        while sum(map(len, self.streams.values())) < messages * (1 - 1 / TWICE):
            self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0](self)
        for stream in self.streams.values():
            self._disturb(stream)

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _client(self, *, held: int = 0) -> Client:
        """A client who may have so many more sessions that count."""
        found = next(
            each for each in self.random.sample(self.clients, len(self.clients)) if each.held + held <= HELD_MAX and each.free
        )
        found.held += held
        return found

    def _put(self, source: str, resource: dict[str, Any], *, ordered: bool = False) -> None:
        version = self._next()
        resource = {**resource, "meta": {"versionId": str(version), "lastUpdated": at(13, seconds=version)}}
        path = f"/{resource['resourceType']}/{resource['id']}"
        self.streams[source].append(Sent(source=source, kind="PUT", body=resource, path=path, ordered=ordered))

    def _own(self, kind: str, data: dict[str, Any], *, ordered: bool = False) -> None:
        number = self._next()
        self.streams["west"].append(Sent(source="west", kind=kind, body=data, key=f"msg_{number}", minute=number, ordered=ordered))

    def _disturb(self, stream: list[Sent]) -> None:
        """Sends a tenth twice, and a twentieth late."""
        for place in self.random.sample(range(len(stream)), len(stream) // TWICE):
            stream.insert(self.random.randint(place + 1, len(stream)), stream[place])
        for place in self.random.sample(range(len(stream)), len(stream) // LATE):
            if not stream[place].ordered:
                stream.insert(min(len(stream), place + self.random.randint(1, 12)), stream.pop(place))

    # Visits

    def _visit(self, client: Client) -> tuple[str, dict[str, str]]:
        """The name of a new visit, and its times."""
        slot = client.free.pop()
        return f"v{self._next()}", {"start": moment(slot), "end": moment(slot, minutes=50)}

    def _booked_and_held(self) -> None:
        client = self._client(held=1)
        name, times = self._visit(client)
        life = {**times, "participant": [{"actor": client.subject}]}
        self._put("north", appointment(name, **life))
        self._put("north", appointment(name, **life, status="arrived"))
        self._put("north", appointment(name, **life, status="fulfilled"))
        ours = {"subject": client.subject, "period": times}
        self._put("north", encounter(name, **ours, appointment=[{"reference": f"Appointment/{name}"}]))
        client.expected.sessions.add((times["start"], "5"))

    def _held_by_west(self) -> None:
        client = self._client(held=1)
        name, times = self._visit(client)
        self._own("appointment.booked", {"client_ref": client.ref, "ref": f"A/{name}", **times})
        self._own("appointment.fulfilled", {"client_ref": client.ref, "ref": f"A/{name}", **times, "attendance": "6"})
        client.expected.sessions.add((times["start"], "6"))

    def _held_by_several(self) -> None:
        """All three tell of one visit: two by its name, the other by a name of its own."""
        client = self._client(held=1)
        name, times = self._visit(client)
        self._put("north", encounter(name, subject=client.subject, period=times))
        self._put("south", uncoded(encounter(f"s-{name}", subject=client.subject, period=times)))
        self._own("appointment.fulfilled", {"client_ref": client.ref, "ref": f"Encounter/{name}", **times})
        client.expected.sessions.add((times["start"], "5"))

    def _uncoded_of_south(self) -> None:
        client = self._client(held=1)
        name, times = self._visit(client)
        self._put("south", uncoded(encounter(name, subject=client.subject, period=times, status="planned")))
        self._put("south", uncoded(encounter(name, subject=client.subject, period=times)))
        client.expected.sessions.add((times["start"], "5"))

    def _group(self) -> None:
        found = [each for each in self.clients if each.held < HELD_MAX and len(each.free) == len(SLOTS)][:6]
        if len(found) < 2:
            return
        slot = SLOTS[self._next() % len(SLOTS)]
        for each in found:
            each.held += 1
            each.free.remove(slot)
            each.expected.sessions.add((moment(slot), "5"))
        who = [{"actor": each.subject} for each in found]
        times = {"start": moment(slot), "end": moment(slot, minutes=50)}
        self._put("south", uncoded(appointment(f"g{self._next()}", **times, status="fulfilled", participant=who)))

    def _no_show_that_was_held(self) -> None:
        client = self._client(held=1)
        name, times = self._visit(client)
        for what in ("noshow", "fulfilled"):
            self._put("north", appointment(name, **times, status=what, participant=[{"actor": client.subject}]))
        client.expected.sessions.add((times["start"], "5"))

    def _cancelled(self) -> None:
        client = self._client()
        name, times = self._visit(client)
        who = [{"actor": client.subject}]
        self._put("north", appointment(name, **times, participant=who))
        self._put("north", appointment(name, **times, status="cancelled", cancelationReason=BY_CLIENT, participant=who))
        client.expected.sessions.add((times["start"], "2"))

    def _missed_by_west(self) -> None:
        client = self._client()
        name, times = self._visit(client)
        self._own("appointment.missed", {"client_ref": client.ref, "ref": f"A/{name}", "start": times["start"]})
        client.expected.sessions.add((times["start"], "3"))

    def _withdrawn(self) -> None:
        client = self._client(held=1)
        name, times = self._visit(client)
        for what in ("finished", "entered-in-error"):
            self._put("north", encounter(name, subject=client.subject, period=times, status=what))

    def _deleted(self) -> None:
        client = self._client(held=1)
        name, times = self._visit(client)
        self._put("north", encounter(name, subject=client.subject, period=times), ordered=True)
        self.streams["north"].append(Sent(source="north", kind="DELETE", body=None, path=f"/Encounter/{name}", ordered=True))

    def _visit_that_moved(self) -> None:
        first, second = self._client(held=1), self._client(held=1)
        while second is first:
            second = self._client(held=1)
        slot = next(each for each in first.free if each in second.free)
        first.free.remove(slot)
        second.free.remove(slot)
        name = f"v{self._next()}"
        for client in (first, second):
            self._put(
                "north", encounter(name, subject=client.subject, period={"start": moment(slot), "end": moment(slot, minutes=50)})
            )
        second.expected.sessions.add((moment(slot), "5"))

    def _not_ours(self) -> None:
        """Doubtful, dental, in an emergency, from before, and in the future."""
        client = self._client()
        name, times = self._visit(client)
        visit = encounter(name, subject=client.subject, period=times)
        later = {"start": at(20), "end": at(20, minutes=50)}
        self._put("north", self.random.choice([
            uncoded(visit),
            {**visit, "type": [DENTAL]},
            {**uncoded(visit), "class": {"code": "EMER"}},
            {**visit, "period": {"start": at(-60)}},
            {**visit, "period": later},
        ]))  # fmt: skip

    # Measures

    def _answers(self, scale: str) -> list[int]:
        return [self.random.randint(0, 2) for _ in range(MEASURES[scale] - 1)] + [0]

    def _taken(self, client: Client, scale: str) -> str | None:
        days = client.days[scale]
        return at(days.pop(self.random.randrange(len(days))), hours=self.random.randint(0, 5)) if days else None

    def _form(self) -> None:
        client, scores = self._client(), self._answers("phq9@1")
        taken = self._taken(client, "phq9@1")
        if taken is None:
            return
        scores[-1] = self.random.choice([0] * 9 + [2])
        self._put("north", form(scores, f"f{self._next()}", subject=client.subject, authored=taken))
        client.expected.measures.add(("phq9@1", taken, sum(scores)))
        client.expected.risk |= scores[-1] > 0

    def _form_of_two(self) -> None:
        """A form, and our own type about the same one."""
        client, scores = self._client(), self._answers("phq9@1")
        taken = self._taken(client, "phq9@1")
        if taken is None:
            return
        name = f"f{self._next()}"
        self._put("north", form(scores, name, subject=client.subject, authored=taken))
        own = {"client_ref": client.ref, "instrument": "phq9", "items": scores, "taken_at": taken, "ref": f"Form/{name}"}
        self._own("measure.completed", own)
        client.expected.measures.add(("phq9@1", taken, sum(scores)))

    def _form_with_risk_after_all(self) -> None:
        client, scores = self._client(), self._answers("phq9@1")
        taken, name = self._taken(client, "phq9@1"), f"f{self._next()}"
        assert taken is not None
        for last in (0, 3):
            self._put("north", form([*scores[:-1], last], name, subject=client.subject, authored=taken))
        client.expected.measures.add(("phq9@1", taken, sum(scores[:-1]) + 3))
        client.expected.risk = True

    def _observation(self) -> None:
        client, total = self._client(), self.random.randint(0, 21)
        taken = self._taken(client, "gad7@1")
        if taken is None:
            return
        code = {"coding": [{"system": "http://loinc.org", "code": "70274-6"}]}
        found = {
            "resourceType": "Observation",
            "id": f"o{self._next()}",
            "status": "final",
            "code": code,
            "subject": client.subject,
        }
        self._put("south", {**found, "effectiveDateTime": taken, "valueInteger": total})
        client.expected.measures.add(("gad7@1", taken, total))

    # Persons

    def _consent(self) -> None:
        client = self._client()
        self._own("consent.given", {"client_ref": client.ref, "scope": "recording"}, ordered=True)
        self._own("consent.withdrawn", {"client_ref": client.ref, "scope": "recording"}, ordered=True)

    def _patient(self) -> None:
        """A merge, a death that is taken back or not, or a change that does not concern IPT; of clients here and of others."""
        ref = self.random.choice([self._client().ref, f"X-{self._next()}"])
        said = self.random.choice([
            [{"link": [{"type": "replaced-by", "other": {"reference": "Patient/other"}}]}],
            [{"deceasedBoolean": True}, {"deceasedBoolean": False}],
            [{"deceasedDateTime": at(12)}],
            [{"gender": "female"}],
        ])  # fmt: skip
        for each in said:
            self._put("south", {"resourceType": "Patient", "id": ref, **each})

    def _referral(self, client: Client) -> None:
        """A referral, and messages that another source may send before it."""
        code = {"coding": [{"system": "http://snomed.info/sct", "code": "443730003"}]}
        order = {"resourceType": "ServiceRequest", "id": f"r-{client.ref}", "status": "active", "intent": "order", "code": code}
        scores = self._answers("phq9@1")
        scores[-1] = self._next() % 2
        taken = {"taken_at": at(13, hours=1), "ref": f"F/{client.ref}"}
        self._own("measure.completed", {"client_ref": client.ref, "instrument": "phq9", "items": scores, **taken})
        self._own("consent.given", {"client_ref": client.ref, "scope": "recording"})
        self._put("north", {**order, "subject": client.subject, "authoredOn": at(13)})
        client.expected.measures.add(("phq9@1", taken["taken_at"], sum(scores)))
        client.expected.risk |= scores[-1] > 0


WEIGHTS: dict[Callable[[Day], None], int] = {
    Day._booked_and_held: 2,
    Day._held_by_west: 1,
    Day._held_by_several: 2,
    Day._uncoded_of_south: 1,
    Day._group: 1,
    Day._cancelled: 4,
    Day._missed_by_west: 4,
    Day._withdrawn: 1,
    Day._deleted: 1,
    Day._not_ours: 6,
    Day._form: 8,
    Day._form_of_two: 4,
    Day._observation: 6,
    Day._consent: 2,
    Day._patient: 5,
}


def uncoded(visit: dict[str, Any]) -> dict[str, Any]:
    """The visit without what marks it as IPT."""
    return {name: each for name, each in visit.items() if name not in {"type", "serviceType"}}


def merged(streams: dict[str, list[Sent]], order: str, seed: int) -> Iterator[Sent]:
    """The messages of all sources: one source after the other, as `nsw` names them, or mixed by chance. Each source keeps its order."""
    names = {name[0]: name for name in streams}
    if order in {"mixed", "mixed again"}:
        letters = [name[0] for name, stream in streams.items() for _ in stream]
        random.Random(f"{order}{seed}").shuffle(letters)
        left = {name: iter(stream) for name, stream in streams.items()}
        yield from (next(left[names[letter]]) for letter in letters)
        return
    for letter in order:
        yield from streams[names[letter]]
