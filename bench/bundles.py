"""A FHIR Bundle of a thousand resources beside a thousand transitions, and how long reads take meanwhile."""

import datetime as dt
import http.client
import json
import threading
import time
import uuid
from collections import Counter
from typing import Any

from bench import goals, product
from bench.copies import COURSE_ID
from bench.figures import Row, row
from bench.notices import SOURCE, source
from bench.processes import HOST, BenchFailed
from bench.requests import signature
from bench.run import Load, Run, details, fault_of

DATABASE = "bundles"
COURSES = 200  # that one Bundle is about
ENTRIES = 1000
CLIENTS = 16
READERS = 4
BUNDLES_MAX = 5  # about the same courses: their contract has room for so many more visits
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
IPT = {"coding": [{"system": SNOMED, "code": "443730003"}]}
SCORES = (("phq9", "44261-6"), ("gad7", "70274-6"))  # of each client twice


def run_all(run: Run) -> list[Row]:
    """Each round's Bundles are about courses of their own, to which nothing has happened yet."""
    rounds, courses = run.sizes.rounds, run.sizes.courses
    run.database(DATABASE, run.whole, courses + 2 * rounds * COURSES)
    url = run.postgres.url(DATABASE)
    secret, token = source(url), run.tokens["therapist"]
    firsts = iter(range(courses + 1, courses + 2 * rounds * COURSES, COURSES))
    read = {"paths": [f"/v1/courses/{COURSE_ID}"], "headers": {"Authorization": f"Bearer {token}"}, "courses": courses}
    with product.serving(url, run.log) as served:
        port = served[0].port
        found = run.rounds(
            {
                "transitions": lambda: run.load([port], CLIENTS, product.notes(token, courses)),
                "a Bundle": lambda: _sent(port, secret, next(firsts), 0),
            }
        )
        reads = run.rounds(
            {
                "reads at rest": lambda: run.load([port], READERS, read),
                "reads beside Bundles": lambda: _read_meanwhile(run, port, secret, next(firsts), read),
            }
        )
    return [_bundle(*found.values()), _reads(*reads.values())]


def _bundle(transitions: list[Load], seconds: list[float]) -> Row:
    return row(
        goals.BUNDLE,
        seconds,
        [ENTRIES / load["per_second"] if load["per_second"] else 0.0 for load in transitions],
        each=" s",
        against=f"{ENTRIES} transitions",
        note=f"signed, PUT, {COURSES} courses; {CLIENTS} clients",
        fault=fault_of(transitions),
        details=details("transitions", transitions),
    )


def _reads(at_rest: list[Load], meanwhile: list[Load]) -> Row:
    return row(
        goals.BUNDLE_READS,
        [load.get("p99_ms", 0.0) for load in meanwhile],
        [load.get("p99_ms", 1.0) for load in at_rest],
        each=" ms",
        against="at rest",
        note=f"a course, {READERS} clients",
        fault=fault_of([*at_rest, *meanwhile]),
        details=details("meanwhile", meanwhile) + details("at rest", at_rest),
    )


def _read_meanwhile(run: Run, port: int, secret: str, first: int, read: dict[str, Any]) -> Load:
    """Reads while Bundles are sent one after another."""
    loads: list[Load] = []
    reading = threading.Thread(target=lambda: loads.append(run.load([port], READERS, read)))
    reading.start()
    time.sleep(run.sizes.warm_up)
    for number in range(BUNDLES_MAX):
        if reading.is_alive():
            _sent(port, secret, first, number)
    reading.join()
    if not loads:
        raise BenchFailed("nothing could be read while Bundles were sent")
    return loads[0]


def _sent(port: int, secret: str, first: int, number: int) -> float:
    """Sends the courses' Bundle with this number. Returns the seconds until its answer. Raises BenchFailed unless all was applied."""
    content = json.dumps(bundle(first, number)).encode()
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/json"}
    headers |= signature(secret, uuid.uuid4().hex, content)
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    started = time.perf_counter()
    connection.request("POST", f"/v1/ehr/fhir/{SOURCE}", content, headers)
    answer = connection.getresponse()
    text = answer.read()
    taken = time.perf_counter() - started
    connection.close()
    if answer.status >= 300:
        raise BenchFailed(f"a Bundle was answered with {answer.status}: {text.decode(errors='replace')[:300]}")
    statuses = Counter(entry["status"] for entry in json.loads(text)["entries"])
    if statuses != {"applied": ENTRIES}:
        raise BenchFailed(f"not every entry of a Bundle was applied: {dict(statuses)}")
    return taken


def bundle(first: int, number: int) -> dict[str, Any]:
    """A batch about COURSES copied clients: a visit and four scores of each. Every Bundle has hours of its own, later than those before."""
    hour = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=6 * (BUNDLES_MAX - number))
    resources = [_visit(course, hour) for course in range(first, first + COURSES)]
    for later in range(1, 3):
        for instrument, code in SCORES:
            at = hour + dt.timedelta(hours=later)
            resources += [_score(course, instrument, code, at) for course in range(first, first + COURSES)]
    entries = [
        {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}
        for resource in resources
    ]
    return {"resourceType": "Bundle", "type": "batch", "entry": entries}


def _visit(course: int, at: dt.datetime) -> dict[str, Any]:
    return {
        **_named("Encounter", course, f"visit-{at:%m%d%H}", at),
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "type": [IPT],
        "period": {"start": at.isoformat(), "end": (at + dt.timedelta(minutes=50)).isoformat()},
    }


def _score(course: int, instrument: str, code: str, at: dt.datetime) -> dict[str, Any]:
    return {
        **_named("Observation", course, f"{instrument}-{at:%m%d%H}", at),
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "effectiveDateTime": at.isoformat(),
        "valueInteger": 6,
    }


def _named(kind: str, course: int, name: str, at: dt.datetime) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "id": f"{course}-{name}",
        "meta": {"versionId": "1", "lastUpdated": (at + dt.timedelta(minutes=55)).isoformat()},
        "subject": {"reference": f"Patient/BENCH-{course}"},
    }
