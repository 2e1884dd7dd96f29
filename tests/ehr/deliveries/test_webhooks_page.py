"""What docs/webhooks.md shows is true: its message is verified by its program, its replays and subscriptions are taken."""

import re
from pathlib import Path

import msgspec
import pytest

from ipt_workflow.api.webhooks import TYPES
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries.bodies import NewSubscription, Replay
from ipt_workflow.ehr.deliveries.sender import SendResult

PAGE = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRET = re.search(r"the secret of the example is `(whsec_\S+)`", PAGE)[1]


def block(language: str) -> str:
    return re.search(f"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


def message() -> tuple[dict[str, str], bytes]:
    head, _, body = block("http").partition("\n\n")
    headers = dict(
        line.lower().split(": ", 1) if "Id" in line else (line.split(": ")[0].lower(), line.split(": ")[1])
        for line in head.splitlines()[1:]
    )
    return headers, body.rstrip("\n").encode()


def test_the_program_of_the_page_verifies_the_message_of_the_page_and_no_other():
    scope: dict = {}
    exec(block("python"), scope)
    headers, body = message()
    now = int(headers["webhook-timestamp"])
    assert scope["verified"](headers, body, SECRET, now) == headers["webhook-id"]
    for wrong in (
        (headers, body + b" ", SECRET, now),
        (headers, body, signatures.mint_shared(), now),
        (headers, body, SECRET, now + 301),
    ):
        with pytest.raises(AssertionError):
            scope["verified"](*wrong)


def test_every_type_of_event_is_on_the_page():
    assert [name for name in TYPES if f"| `{name}` |" not in PAGE] == []


def test_bodies_that_are_shown_are_bodies_that_are_taken():
    shown = re.findall(r"`(\{\"(?:since|first)\".*?\})`", PAGE, re.DOTALL)
    assert len(shown) == 2
    for each in shown:
        msgspec.json.decode(each, type=Replay)
    msgspec.json.decode(re.search(r"-d '(\{\"url\".*?\})'", PAGE)[1], type=NewSubscription)
    msgspec.json.decode('{"url": "https://ehr.example/", "signatures": ["v1a"]}', type=NewSubscription)


def test_every_reason_of_a_failure_is_on_the_page():
    problems = SendResult.__annotations__["problem"]
    names = re.findall(r"'(\w+)'", str(problems))
    assert len(names) == 6
    assert [name for name in names if f"`{name}`" not in PAGE] == []
