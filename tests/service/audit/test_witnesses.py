"""Witnesses of a clinic's log: each checkpoint is brought to them, by HTTP or by files, and a missing quorum is an alarm."""

import asyncio
import datetime as dt

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import checkpoints, service_walk, witnesses

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import NotFound
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import NotProved
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints, LogRefused, key_file_of
from ipt_workflow.service.audit.cosignatures import WitnessUnusable
from ipt_workflow.service.audit.log_state import LogState
from ipt_workflow.service.audit.witnesses import PolicyInvalid, Witnesses, cosigned_note, policy_of
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store import cosignatures as stored_cosignatures

LOGS = {checkpoints.ORIGIN: [each.key for each in checkpoints.KEYS]}
LOG_LINES = "".join(f"log {each.vkey()}\n" for each in LOGS[checkpoints.ORIGIN])
NOTE = Command("note", {"text": "She called."})


class Scene:
    """A clinic with a policy of two witnesses, of whom one is enough: `net` over HTTP, and `stick` by files."""

    def __init__(self, clinic, net, stick, calls):
        self.clinic, self.net, self.stick, self.calls = clinic, net, stick, calls
        self.witnesses = Witnesses(clinic, calls)

    async def grow(self):
        self.course = getattr(self, "course", None) or await service_walk.open_course(self.clinic)
        await service_walk.fire(self.clinic, self.course, NOTE)
        return await checkpoints.sign(self.clinic)

    async def check(self):
        (newest,) = await self.clinic.read(stored_cosignatures.newest)
        return ipt_verify.check_policy(self.witnesses.policy, cosigned_note(newest))

    def counted(self, outcome: str) -> float:
        return self.clinic.metrics.log_submissions.labels("net", outcome)._value.get()


@pytest.fixture
def scene(database_url, tmp_path):
    def run(test, quorum: str = "group q any net stick\nquorum q\n"):
        async def inside():
            async with witnesses.own_witness(LOGS, tmp_path / "net") as net:
                stick = witnesses.OwnWitness(LOGS, tmp_path / "stick")
                policy = f"{LOG_LINES}witness net {net.key.vkey()} {net.address}\nwitness stick {stick.ml_dsa_key.vkey()}\n{quorum}"
                (tmp_path / "policy").write_text(policy)
                (tmp_path / "log.key").write_text(checkpoints.KEY_FILE)
                files = {"IPT_LOG_POLICY_FILE": str(tmp_path / "policy"), "IPT_LOG_KEY_FILE": str(tmp_path / "log.key")}
                settings = configuration.load({"IPT_DATABASE_URL": database_url, "IPT_DEVELOPMENT": "true", **files})
                calls = witnesses.calls()
                async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
                    await test(Scene(clinic, net, stick, calls))
                await calls.close()

        asyncio.run(inside())

    return run


def test_each_checkpoint_is_cosigned_once_and_continues_the_last(scene):
    async def test(it):
        assert await it.witnesses.submit() == []  # there is nothing to cosign yet
        await it.grow()
        with pytest.raises(NotProved, match="quorum of witnesses is missing"):
            await it.check()
        (outcome,) = await it.witnesses.submit()
        assert (outcome.witness, outcome.outcome, outcome.reason) == ("net", "cosigned", None)
        first = await it.check()
        assert await it.witnesses.submit() == []
        await it.grow()
        assert [each.outcome for each in await it.witnesses.submit()] == ["cosigned"]
        assert (await it.check()).size > first.size
        await it.grow()
        assert [each.outcome for each in await Witnesses(it.clinic, it.calls).submit()] == ["cosigned"]
        assert [each.status for each in it.net.replies] == [200, 200, 409, 200]  # a new process asks how far the witness is
        assert it.counted("cosigned") == 3

    scene(test)


def test_a_stick_is_carried_to_a_witness_and_back(scene):
    async def test(it):
        with pytest.raises(NotFound, match="no checkpoint yet"):
            await it.witnesses.request("stick")
        await it.grow()
        given = await it.witnesses.request("stick")
        assert given.old_size == 0
        await it.grow()  # while it is carried
        answer = it.stick.witness.answer(str(given))
        assert await it.witnesses.take(given.note + answer.body) == ["stick"]
        size = ipt_verify.read_checkpoint(ipt_verify.read_note(given.note).text).size
        again = await it.witnesses.request("stick")
        assert again.old_size == size
        assert it.stick.witness.answer(str(again)).status == 200
        assert (await it.witnesses.request("stick", 0)).hashes == ()
        report = await it.witnesses.report()
        assert [(each.witness, each.size, each.address) for each in report.witnesses] == [
            ("net", None, it.net.address),
            ("stick", size, None),
        ]
        with pytest.raises(NotFound, match="It has net, stick"):
            await it.witnesses.request("nobody")
        with pytest.raises(NotFound, match="less than"):
            await it.witnesses.request("stick", 10_000)

    scene(test)


def test_what_is_brought_back_must_be_of_this_log_and_of_a_witness(scene):
    async def test(it):
        note = await it.grow()
        checkpoint = ipt_verify.read_checkpoint(note.text)
        for text, error, sentence in (
            ("nonsense", WitnessUnusable, "no cosigned checkpoint"),
            (str(note), WitnessUnusable, "No witness of the policy"),
            (str(log_keys.signed(checkpoint._replace(size=1).text(), it.stick.own, 5)), NotFound, "not one of this log"),
            (str(log_keys.signed(checkpoint._replace(root=b"x" * 32).text(), it.stick.own, 5)), NotFound, "Keep the file"),
        ):
            with pytest.raises(error, match=sentence):
                await it.witnesses.take(text)
        forged = log_keys.signed(note.text, it.stick.own, 5)._replace(text=note.text)
        wrong = [each._replace(value=b"\0" * len(each.value)) for each in forged.signatures]
        with pytest.raises(WitnessUnusable, match="not its cosignature"):
            await it.witnesses.take(str(forged._replace(signatures=tuple(wrong))))
        with pytest.raises(NotProved):
            await it.check()

    scene(test)


def test_a_missing_quorum_is_an_alarm_until_it_is_there(scene):
    async def metric(it):
        text = (await Clinics(it.clinic).metrics([it.clinic])).decode()
        (family,) = [each for each in text_string_to_metric_families(text) if each.name == "ipt_log_unwitnessed_seconds"]
        return family.samples[0].value

    async def test(it):
        assert await metric(it) == 0
        await it.grow()
        await it.witnesses.submit()
        it.clinic.clock.advance(dt.timedelta(minutes=5))
        assert await metric(it) == 0
        it.witnesses.policy.addresses.clear()  # the witness cannot be asked any more
        for _ in range(3):
            await it.grow()
            assert await it.witnesses.submit() == []
            it.clinic.clock.advance(dt.timedelta(minutes=5))
        assert await metric(it) == 15 * 60
        given = await it.witnesses.request("stick")
        await it.witnesses.take(given.note + it.stick.witness.answer(str(given)).body)
        assert await metric(it) == 0

    scene(test)


def test_without_a_quorum_nothing_is_missing(scene):
    async def test(it):
        await it.grow()
        it.clinic.clock.advance(dt.timedelta(hours=5))
        assert (await it.witnesses.report()).unwitnessed_seconds == 0

    scene(test, "quorum none\n")


def test_a_database_that_was_put_back_or_rewritten_is_found_out_by_its_witness(scene):
    async def test(it):
        note = await it.grow()
        state = it.net.witness
        state._keep(
            {checkpoints.ORIGIN: log_keys.signed(ipt_verify.read_checkpoint(note.text)._replace(size=10_000).text(), it.net.own, 5)}
        )
        (ahead,) = await it.witnesses.submit()
        assert (ahead.outcome, "up to size 10000" in ahead.reason) == ("ahead", True)
        other = ipt_verify.read_checkpoint(note.text)._replace(root=b"x" * 32)
        state._keep({checkpoints.ORIGIN: log_keys.signed(other.text(), it.net.own, 5)})
        (contradicts,) = await it.witnesses.submit()
        assert (contradicts.outcome, "another history" in contradicts.reason) == ("contradicts", True)
        assert (it.counted("ahead"), it.counted("contradicts"), it.counted("cosigned")) == (1, 1, 0)

    scene(test)


def test_after_a_restore_of_database_and_keys_the_witness_alone_knows_and_nothing_is_signed(scene):
    async def test(it):
        note = await it.grow()
        larger = ipt_verify.read_checkpoint(note.text)._replace(size=10_000)
        state = LogState(key_file_of(it.clinic.settings))

        async def seen(keys):
            it.net.witness._keep({checkpoints.ORIGIN: log_keys.signed(larger.text(), [*keys, *it.net.own], 5)})
            assert [each.outcome for each in await it.witnesses.submit()] == ["ahead"]

        await seen(
            log_keys.of_log(log_keys.new_file(), checkpoints.ORIGIN)
        )  # a witness cannot stop a log by a checkpoint of others
        assert state.read() == {}
        await seen(checkpoints.KEYS)
        assert state.read()[checkpoints.ORIGIN].size == 10_000
        await service_walk.fire(it.clinic, it.course, NOTE)
        with pytest.raises(LogRefused, match="10000 were signed"):
            await Checkpoints(it.clinic).sign()

    scene(test)


def test_a_witness_that_is_away_is_asked_again_at_the_next_checkpoint(scene):
    async def test(it):
        await it.grow()
        it.witnesses.policy.addresses["net"] = "http://127.0.0.1:9/"
        (away,) = await it.witnesses.submit()
        assert (away.outcome, away.reason) == ("unusable", "The witness net cannot be reached.")
        it.witnesses.policy.addresses["net"] = it.net.address
        assert [each.outcome for each in await it.witnesses.submit()] == ["cosigned"]

    scene(test)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read"), (b"", "has no quorum"), (b"witness w nonsense\n", "Line 1"), (b"\xff", "IPT_LOG_POLICY_FILE")],
)
def test_a_policy_that_cannot_be_used_is_named(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "policy").write_bytes(content)
    with pytest.raises(PolicyInvalid, match=sentence):
        policy_of(configuration.load({"IPT_LOG_POLICY_FILE": str(tmp_path / "policy")}))
