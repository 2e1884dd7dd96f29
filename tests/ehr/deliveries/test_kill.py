"""Killed at any point, nothing is lost: the commands as they are run, on both databases, with the product's own receiver beside them."""

import asyncio
import json
import os
import signal
import socket
import time
from collections import Counter
from contextlib import contextmanager

import httpx
import msgspec
import pytest
from support import forks, service_walk
from support.forks import Fork
from support.receivers import other_side

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries.bodies import NewSubscription
from ipt_workflow.ehr.deliveries.receiver import DeliveryReceipt
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import SystemClock

ADMIN = Principal(person="admin-1", role="admin", via="cli")
NOTE = Command("note", {"text": "She called."})
QUICK = {
    "IPT_DEVELOPMENT": "true",
    "IPT_DELIVERY_TIMEOUT_SECONDS": "0.5",
    "IPT_DELIVERY_RETRY_SECONDS": ",".join(["0.2"] * 20),
    "IPT_RELAY_POLL_SECONDS": "0.05",
    "IPT_LOG_LEVEL": "error",
}


def environment(url: str, **more: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    return {**bare, "IPT_DATABASE_URL": url, **QUICK, **more}


@contextmanager
def command(url: str, *arguments: str, **more: str):
    with Fork(*arguments, env=environment(url, **more)) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.matrix(6)
@pytest.mark.parametrize("when", ("before it is answered", "after it is answered"))
def test_a_relay_that_is_killed_again_and_again_loses_nothing_and_repeats_only_under_the_same_id(database_url, when):
    kills = {1, 2, 5, 8, 9}

    async def scene():
        settings = configuration.load({"IPT_DATABASE_URL": database_url, **QUICK})
        async with service_walk.opened(settings, SystemClock()) as clinic, other_side() as other:
            shown = await Subscriptions(clinic).create(ADMIN, lambda: NewSubscription(url=other.url))
            other.trusts(shown.secret)
            courses = [await service_walk.open_course(clinic, f"EHR-{n}") for n in range(3)]
            for course in courses:
                await service_walk.fire(clinic, course, NOTE)
                await service_walk.fire(clinic, course, NOTE)
            await killing(database_url, other, kills, when, lambda: all(other.sequences(each)[-1:] == [3] for each in courses))
            return other.receipts, [other.sequences(each) for each in courses]

    receipts, sequences = asyncio.run(scene())
    assert sequences == [[1, 2, 3]] * 3
    assert not any(each.missing or each.late for each in receipts)
    assert {each.outcome for each in receipts} <= {"received", "duplicate"}
    assert Counter(each.outcome for each in receipts)["received"] == 9
    assert len({each.id for each in receipts}) == 9


async def killing(url, other, kills, when, done) -> None:
    """Runs relays one after another; each is killed by a delivery whose number is in `kills`, before or after it is answered."""
    loop, finished, killed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    process: Fork

    def report(receipt: DeliveryReceipt) -> None:
        other.receipts.append(receipt)
        if len(other.receipts) in kills:
            if when == "before it is answered":
                end()
            else:
                loop.call_later(0.01, end)
        if done():
            finished.set()

    def end() -> None:
        process.send_signal(signal.SIGKILL)
        killed.set()

    other.receiver._report = report
    while not finished.is_set():
        with command(url, "relay") as process:
            waits = [asyncio.create_task(event.wait()) for event in (finished, killed)]
            await asyncio.wait(waits, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            assert finished.is_set() or killed.is_set(), other.receipts
            for each in waits:
                each.cancel()
            killed.clear()


@pytest.mark.matrix(3)
def test_a_course_walked_over_http_arrives_whole_though_the_receiver_fails_and_the_service_is_killed(database_url):
    port, hooks = free_port(), free_port()
    token = json.loads(output_of(database_url, "token", "create", "--role", "admin", "--name", "ada", "--json"))["token"]
    therapist = json.loads(output_of(database_url, "token", "create", "--role", "therapist", "--name", "thea", "--json"))["token"]
    with command(database_url, "serve", "--port", str(port)) as service:
        base = up(port)
        shown = post(base, token, "/v1/subscriptions", {"url": f"http://127.0.0.1:{hooks}/"})
        course = post(base, therapist, "/v1/courses", {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "GP"}})[
            "course"
        ]["id"]
        fire(base, therapist, course, 1)
        service.kill()
    receiver = (
        "receive",
        "--json",
        "--port",
        str(hooks),
        "--secret",
        shown["secret"],
        "--fail",
        "3",
        "--stall",
        "1",
        "--stall-seconds",
        "1",
    )
    with command(database_url, *receiver) as other, command(database_url, "serve", "--port", str(port)):
        base = up(port)
        for version in range(2, 6):
            fire(base, therapist, course, version)
        receipts = until(other, lambda receipt: receipt.outcome == "received" and receipt.sequence == 6)
    assert [each.outcome for each in receipts[:3]] == ["failed"] * 3
    taken = [each for each in receipts if each.outcome in {"received", "stalled"}]
    assert [each.sequence for each in taken] == [1, 2, 3, 4, 5, 6]
    assert not any(each.missing or each.late for each in receipts)
    assert {each.outcome for each in receipts} <= {"failed", "stalled", "duplicate", "received"}


def output_of(url: str, *arguments: str) -> str:
    done = forks.run(*arguments, env=environment(url))
    done.check_returncode()
    return done.stdout


def up(port: int) -> str:
    base, last = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while time.monotonic() < last:
        try:
            if httpx.get(f"{base}/health/ready").status_code == 200:
                return base
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the service did not start")


def post(base: str, token: str, path: str, body: object, **headers: str) -> dict:
    answer = httpx.post(base + path, json=body, headers={"Authorization": f"Bearer {token}", **headers}, timeout=30)
    assert answer.status_code == 201, answer.text
    return answer.json()


def fire(base: str, token: str, course: str, version: int) -> None:
    body = {"trigger": "note", "data": {"text": "She called."}}
    post(base, token, f"/v1/courses/{course}/transitions", body, **{"If-Match": f'"{version}"'})


def until(process: Fork, done) -> list[DeliveryReceipt]:
    """What a receiver prints, up to what is waited for."""
    found: list[DeliveryReceipt] = []
    for line in process.stdout:
        if line.startswith("{"):
            found.append(msgspec.json.decode(line, type=DeliveryReceipt))
            if done(found[-1]):
                return found
    raise AssertionError(found)
