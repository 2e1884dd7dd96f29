"""A witness over HTTP: what it answers to logs and to monitors, and that a log gets its cosignatures, also from a witness of others."""

import asyncio
import hashlib
from contextlib import asynccontextmanager

import httpx
import pytest
from support import witnesses

from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, SignedNote, Submission, leaf_hash
from ipt_workflow.service.audit import cosignatures, log_keys
from ipt_workflow.service.audit.cosignatures import WitnessAhead, WitnessContradicts, WitnessUnusable

ORIGIN = "clinic.example/default"
LOG = log_keys.of_log(log_keys.new_file(), ORIGIN)
LOGS = {ORIGIN: [each.key for each in LOG]}
LEAVES = [leaf_hash(b"%d" % number) for number in range(300)]
TILES = tree.reader(tree.added(0, LEAVES, tree.reader({})))
REWRITTEN = tree.reader(tree.added(0, [leaf_hash(b"x"), *LEAVES[1:]], tree.reader({})))


def signed(size: int, tiles=TILES) -> SignedNote:
    return log_keys.signed(Checkpoint(ORIGIN, size, tree.root(size, tiles)).text(), LOG, 0)


def submitted(old: int, size: int) -> str:
    return str(Submission(old, tree.consistency(old, size, TILES) if old else (), str(signed(size))))


def requested(tmp_path, work):
    async def run():
        async with (
            witnesses.own_witness(LOGS, tmp_path / "state") as witness,
            httpx.AsyncClient(base_url=witness.address) as client,
        ):
            return await work(witness, client)

    return asyncio.run(run())


def test_a_log_and_a_monitor_are_answered_as_the_specification_says(tmp_path):
    digest = hashlib.sha256(ORIGIN.encode()).hexdigest()

    async def work(witness, client):
        assert (await client.get(f"/{digest}/checkpoint")).status_code == 404
        first = await client.post("/add-checkpoint", content=submitted(0, 7))
        assert (first.status_code, first.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        again = await client.post("/add-checkpoint", content=submitted(0, 9))
        assert (again.status_code, again.text, again.headers["content-type"]) == (409, "7\n", "text/x.tlog.size")
        seen = await client.get(f"/{digest}/checkpoint")
        note = ipt_verify.read_note(seen.text)
        assert ipt_verify.holds(LOG[0].key, note)
        assert ipt_verify.holds(witness.key, note)
        assert cosignatures.confirms(witness.ml_dsa_key, note)
        assert [each.status for each in witness.replies] == [200, 409]

    requested(tmp_path, work)


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/", b"", 404),
        ("GET", "/add-checkpoint", b"", 405),
        ("POST", f"/{'0' * 64}/checkpoint", b"", 405),
        ("GET", f"/{'0' * 63}/checkpoint", b"", 404),
        ("POST", "/add-checkpoint", b"\xff", 400),
        ("POST", "/add-checkpoint", b"", 400),
        ("POST", "/add-checkpoint", b"x" * 65_537, 413),
        ("POST", "/add-checkpoint", b"x" * 1_000_000, 413),
    ],
)
def test_anything_else_is_answered_with_a_sentence(tmp_path, method, path, content, status):
    async def work(witness, client):
        answer = await client.request(method, path, content=content)
        assert answer.status_code == status
        assert answer.text.endswith(".\n")

    requested(tmp_path, work)


def test_a_witness_that_lost_its_memory_says_so_and_cosigns_nothing(tmp_path):
    async def work(witness, client):
        (tmp_path / "state").write_text("{")
        answer = await client.post("/add-checkpoint", content=submitted(0, 7))
        assert (answer.status_code, "witness show" in answer.text) == (503, True)

    requested(tmp_path, work)


@asynccontextmanager
async def each_witness(kind: str, tmp_path):
    """The address and key of a witness."""
    if kind == "own":
        async with witnesses.own_witness(LOGS, tmp_path / "state") as own:
            yield own.address, own.key
    else:
        async with witnesses.foreign_witness(ORIGIN, LOG[0].key, tmp_path) as found:
            yield found


FOREIGN = pytest.param("foreign", marks=pytest.mark.skipif(bool(witnesses.why_not_foreign()), reason=witnesses.why_not_foreign()))


@pytest.mark.parametrize("kind", ["own", FOREIGN])
def test_a_log_that_grows_is_cosigned_and_one_that_was_rewritten_is_found_out(tmp_path, kind):
    async def work():
        calls = witnesses.calls()
        async with each_witness(kind, tmp_path) as (address, key):

            async def ask(size: int, known: int, tiles=TILES):
                async def consistency(old, new):
                    return tree.consistency(old, new, tiles)

                note = signed(size, tiles)
                lines = await cosignatures.cosigned(calls, "w", key, address, note, known, consistency)
                return ipt_verify.holds(key, SignedNote(note.text, lines))

            assert await ask(7, 0)
            assert await ask(280, 7)
            assert await ask(290, 0)  # the witness says where it is
            assert await ask(290, 290)
            with pytest.raises(WitnessContradicts):
                await ask(300, 290, REWRITTEN)
            with pytest.raises(WitnessAhead) as ahead:
                await ask(100, 0)  # a database that was put back
            assert ahead.value.size == 290
            assert await ask(300, 290)
        await calls.close()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"\xff"),
        (200, "— w AAAAAAAA\n".encode()),
        (409, b"-1"),
        (409, b"5\n"),
        (409, b"9" * 30),
        (404, b"no"),
        (500, b""),
    ],
)
def test_what_is_no_answer_of_a_witness_gives_no_cosignature(status, body):
    class Content:
        def __init__(self):
            self.status, self.body = status, body

    class Caller:
        async def ask(self, whom, method, url, headers, body=b""):
            assert url == "https://w.example/add-checkpoint"
            return Content()

    async def consistency(old, new):
        return tree.consistency(old, new, TILES)

    key = log_keys.of_witness(log_keys.new_file(), "w")[0].key
    with pytest.raises(WitnessUnusable):
        asyncio.run(cosignatures.cosigned(Caller(), "w", key, "https://w.example/", signed(7), 0, consistency))


def test_a_cosignature_by_another_key_or_of_another_checkpoint_is_not_taken(tmp_path):
    ours, other = (log_keys.of_witness(log_keys.new_file(), witnesses.NAME) for _ in range(2))
    note = signed(7)
    for signer in ours:
        lines = log_keys.signed(note.text, [signer], 5).signatures[0].line().encode()
        assert len(cosignatures.taken(lines, "w", signer.key, note)) == 1
        with pytest.raises(WitnessUnusable):
            cosignatures.taken(lines, "w", signer.key, signed(8))
    with pytest.raises(WitnessUnusable):
        cosignatures.taken(log_keys.signed(note.text, other, 5).signatures[0].line().encode(), "w", ours[0].key, note)
