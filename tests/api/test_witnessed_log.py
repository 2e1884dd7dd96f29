"""A running service signs its log and brings each checkpoint to its witness by itself, and shows both to whoever reads."""

import asyncio

from support import checkpoints, databases, witnesses
from support.http_client import running

from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.service import background

LOGS = {checkpoints.ORIGIN: [each.key for each in checkpoints.KEYS]}


async def kept_from_the_feed(api, header):
    """Who keeps the header of the feed verifies from there."""
    size = ipt_verify.read_checkpoint(ipt_verify.read_header(header).text).size
    found = (await api.client.get("/v1/audit/verify", params={"kept": header}, headers=api.headers("auditor"))).json()
    assert (found["ok"], found["since"], found["courses"]) == (True, size, 0)
    other = header.replace(header.split(" ")[2], ipt_verify.encoded(b"x" * 32))
    for kept, more, fault in (
        (other, {}, "is wrong"),
        ("nonsense", {}, "A header has"),
        (header, {"course": "x"}, "leave out course"),
    ):
        answer = await api.client.get("/v1/audit/verify", params={"kept": kept, **more}, headers=api.headers("auditor"))
        assert (answer.status_code, fault in answer.text) == (422, True), answer.text


def test_a_service_signs_is_witnessed_and_shows_it_to_every_reader_of_the_feed(tmp_path, monkeypatch):
    monkeypatch.setattr(background, "MINUTE", 0.02)
    (tmp_path / "log.key").write_text(checkpoints.KEY_FILE)

    url = databases.empty(tmp_path).database_url

    async def test():
        async with witnesses.own_witness(LOGS, tmp_path / "witness") as net:
            policy = "".join(f"log {key.vkey()}\n" for key in LOGS[checkpoints.ORIGIN])
            policy += f"witness net {net.key.vkey()} {net.address}\nquorum net\n"
            (tmp_path / "policy").write_text(policy)
            files = {"IPT_LOG_POLICY_FILE": str(tmp_path / "policy"), "IPT_LOG_KEY_FILE": str(tmp_path / "log.key")}
            settings = configuration.load({"IPT_DATABASE_URL": url, "IPT_DEVELOPMENT": "true", "IPT_RELAY": "false", **files})
            async with running(settings) as api:
                await api.open("EHR-1")
                answer = await api.get("/v1/events", "ehr")
                while "ipt-log-checkpoint" not in answer.headers:
                    answer = await api.get("/v1/events", "ehr")
                header = ipt_verify.read_header(answer.headers["ipt-log-checkpoint"])
                assert ipt_verify.holds(checkpoints.KEYS[0].key, header)
                shown = (await api.get("/v1/audit/checkpoint", "auditor")).json()
                while "witness" not in shown["note"]:
                    shown = (await api.get("/v1/audit/checkpoint", "auditor")).json()
                checkpoint = ipt_verify.check_policy(ipt_verify.read_policy(policy), ipt_verify.read_note(shown["note"]))
                assert checkpoint.origin == checkpoints.ORIGIN
                assert {each.status for each in net.replies} <= {200, 409}
                await kept_from_the_feed(api, answer.headers["ipt-log-checkpoint"])

    asyncio.run(test())
