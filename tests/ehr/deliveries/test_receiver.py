"""The receiver for rehearsals: it accepts signed messages once, reports gaps, and fails on request."""

import asyncio
import hashlib

import httpx
import msgspec
import pytest

from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries.receiver import BODY_BYTES_MAX, Receiver, Trouble
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime.clock import SystemClock

KEY = signatures.read_key(signatures.mint_shared())
OTHER = signatures.read_key(signatures.mint_shared())


class Sent:
    """One message: its id, its course and sequence, or a body of its own."""

    def __init__(self, message_id, course="c", sequence=None, body=None, key=KEY):
        event = {"type": "course.changed", "timestamp": "2026-03-02T09:00:00Z", "data": {"course": course, "sequence": sequence}}
        self.body = msgspec.json.encode(event) if body is None else body
        now = int(SystemClock().now().timestamp())
        self.headers = {**signatures.Signer([key]).headers(message_id, now, self.body), "content-type": "application/json"}


def received(*messages: Sent, trouble: Trouble | None = None):
    """Status codes and receipts."""
    receipts = []

    async def inside():
        receiver = Receiver([KEY], receipts.append, trouble)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=receiver), base_url="http://here") as client:
            return [await client.post("/", content=each.body, headers=each.headers) for each in messages]

    return asyncio.run(inside()), receipts


def outcomes(*messages: Sent, trouble: Trouble | None = None) -> list[tuple[int, str]]:
    answers, receipts = received(*messages, trouble=trouble)
    return [(answer.status_code, receipt.outcome) for answer, receipt in zip(answers, receipts, strict=True)]


def test_each_id_is_taken_once():
    assert outcomes(Sent("1", sequence=1), Sent("1", sequence=1), Sent("2", sequence=2)) == [
        (204, "received"),
        (204, "duplicate"),
        (204, "received"),
    ]


def test_a_gap_is_reported_with_what_is_missing_and_what_comes_late_as_late():
    _, receipts = received(
        Sent("1", sequence=4), Sent("2", sequence=7), Sent("3", sequence=5), Sent("4", sequence=8), Sent("5", "d", 1)
    )
    assert [(each.sequence, each.missing, each.late) for each in receipts] == [
        (4, None, False),
        (7, (5, 6), False),
        (5, None, True),
        (8, None, False),
        (1, None, False),
    ]


def test_a_receiver_is_a_witness_of_the_log():
    roots = [ipt_verify.encoded(hashlib.sha256(name).digest()) for name in (b"a", b"b", b"c")]
    signature = ipt_verify.encoded(b"s" * 68)
    messages = [Sent(str(number), sequence=number) for number in range(1, 7)]
    said = ((7, roots[0]), (9, roots[1]), (7, roots[0]), (9, roots[2]))
    for message, (size, root) in zip(messages, said, strict=False):
        message.headers["ipt-log-checkpoint"] = f"clinic.example/default {size} {root} {signature}"
    messages[4].headers["ipt-log-checkpoint"] = "nonsense"
    _, receipts = received(*messages)
    assert [(each.log_size, each.rewritten) for each in receipts] == [
        (7, False),
        (9, False),
        (7, False),
        (9, True),
        (None, False),
        (None, False),
    ]


def test_what_is_not_signed_with_a_key_it_knows_is_401_and_is_not_taken():
    assert outcomes(Sent("1", sequence=1, key=OTHER), Sent("1", sequence=1)) == [(401, "unsigned"), (204, "received")]


@pytest.mark.parametrize("body", (b"", b"[]", b"{}", b'{"type":1}', b"\xff", b"[" * 10_000))
def test_what_is_signed_but_no_event_is_400(body):
    assert outcomes(Sent("1", body=body)) == [(400, "malformed")]


def test_a_body_that_is_too_large_is_not_verified_as_if_it_were_whole():
    assert outcomes(Sent("1", body=b"x" * (BODY_BYTES_MAX + 2))) == [(401, "unsigned")]


def test_it_fails_and_stalls_as_often_as_requested_and_then_behaves():
    trouble = Trouble(fail=2, fail_status=429, retry_after=7, stall=1, stall_seconds=0.0)
    messages = [Sent("1", sequence=1)] * 4
    answers, receipts = received(*messages, trouble=trouble)
    assert [each.outcome for each in receipts] == ["failed", "failed", "stalled", "duplicate"]
    assert [answer.headers.get("retry-after") for answer in answers] == ["7", "7", None, None]
    assert [answer.status_code for answer in answers] == [429, 429, 204, 204]


def test_it_is_gone_for_good():
    assert outcomes(Sent("1"), Sent("2"), trouble=Trouble(gone=True)) == [(410, "gone")] * 2


def test_anything_but_a_post_is_405():
    async def inside():
        receiver = Receiver([KEY], print)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=receiver), base_url="http://here") as client:
            return await client.get("/")

    answer = asyncio.run(inside())
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_sender_that_goes_away_in_the_middle_is_neither_judged_nor_answered():
    messages = [{"type": "http.request", "body": b'{"type"', "more_body": True}, {"type": "http.disconnect"}]
    receipts, answers = [], []

    async def receive():
        return messages.pop(0)

    async def send(message):
        answers.append(message)

    asyncio.run(Receiver([KEY], receipts.append)({"type": "http", "method": "POST", "headers": []}, receive, send))
    assert receipts == answers == []
