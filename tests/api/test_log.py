"""The log over HTTP: its checkpoint, proofs that `ipt_verify.py` accepts, and the tree as tiles."""

import asyncio

import pytest
from support import checkpoints
from support.http_client import running

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.journal.proof import ipt_verify, leaves
from ipt_workflow.journal.proof.ipt_verify import Policy
from ipt_workflow.service.audit import log_keys
from ipt_workflow.store import log
from ipt_workflow.store.schema import tables

POLICY = Policy(tuple(each.key for each in checkpoints.KEYS), {}, {}, "none", {})


async def signed(api) -> str:
    """A course whose log is signed."""
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    await checkpoints.sign(api.clinic)
    return course


async def proof(api, query: str) -> ipt_verify.Proof:
    answer = await api.get(f"/v1/audit/proof?{query}", "auditor")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8"), answer.text
    return ipt_verify.read_proof(answer.text)


async def problem(api, path: str, status: int, says: str, role: str = "auditor") -> None:
    answer = await api.get(path, role)
    assert answer.status_code == status, answer.text
    assert says in answer.text


def test_the_newest_checkpoint_is_shown_with_its_note(api):
    async def test(api):
        await signed(api)
        shown = (await api.get("/v1/audit/checkpoint", "auditor")).json()
        found = ipt_verify.check_policy(POLICY, ipt_verify.read_note(shown["note"]))
        assert (shown["origin"], shown["size"], shown["root"]) == (found.origin, found.size, ipt_verify.encoded(found.root))
        open_to_all = await api.client.get("/log/default/checkpoint")
        assert (open_to_all.text, open_to_all.headers["content-type"]) == (shown["note"], "text/plain; charset=utf-8")
        assert open_to_all.headers["cache-control"] == "no-cache"

    api(test)


def test_an_entry_and_the_head_of_a_course_are_proved(api):
    async def test(api):
        course = await signed(api)
        history = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        for entry in history:
            found = await proof(api, f"course={course}&seq={entry['seq']}")
            ipt_verify.check_proof(POLICY, found, found.leaf)
            assert f'"hash":"{entry["hash"]}"'.encode() in found.leaf
        assert str(await proof(api, f"course={course}")) == str(found)

    api(test)


def test_a_record_of_the_audit_log_is_proved_by_its_id_also_if_it_is_a_transition(api):
    async def test(api):
        await signed(api)
        for record in (await api.get("/v1/audit", "auditor")).json()["items"]:
            leaf = await api.clinic.read(log.leaf_of_record, record["id"])
            if leaf or record["kind"] == "transition":
                found = await proof(api, f"record={record['id']}")
                ipt_verify.check_proof(POLICY, found, found.leaf)

    api(test)


def test_what_a_delivery_carried_is_proved(api):
    async def test(api):
        await api.post("/v1/subscriptions", {"url": "https://ehr.example/hooks"}, "admin")
        course = await signed(api)
        ((delivery,), *_) = await api.clinic.database.read(
            lambda connection: connection.execute(tables.delivery.select().with_only_columns(tables.delivery.c.id)).all()
        )
        found = await proof(api, f"delivery={delivery}")
        ipt_verify.check_proof(POLICY, found, found.leaf)
        assert course.encode() in found.leaf

    api(test)


def test_the_log_is_shown_to_continue_what_it_was(api):
    async def test(api):
        course = await signed(api)
        old = (await api.get("/v1/audit/checkpoint", "auditor")).json()
        await api.walk(course, "record_session")
        await checkpoints.sign(api.clinic)
        new = (await api.get("/v1/audit/checkpoint", "auditor")).json()
        answer = (await api.get(f"/v1/audit/consistency?from={old['size']}", "supervisor")).json()
        assert (answer["from"], answer["to"]) == (old["size"], new["size"])
        hashes = [ipt_verify.decoded(each, "") for each in answer["hashes"]]
        roots = [ipt_verify.decoded(each["root"], "") for each in (old, new)]
        ipt_verify.check_consistency(old["size"], new["size"], hashes, *roots)
        same = (await api.get(f"/v1/audit/consistency?from={old['size']}&to={old['size']}", "auditor")).json()
        assert same["hashes"] == []

    api(test)


@pytest.mark.parametrize(
    "query",
    ("", "to=1", "from=0", "from=x", "from=1&to=99999", "from=3&to=2", "from=-1", "from=1&to=", "from=" + "9" * 20, "from=²"),
)
def test_a_size_that_the_log_does_not_have_is_a_fault(api, query):
    async def test(api):
        await signed(api)
        await problem(api, f"/v1/audit/consistency?{query}", 422, "/problems/invalid")

    api(test)


@pytest.mark.parametrize(
    ("query", "status"),
    (
        ("", 422),
        ("seq=1", 422),
        ("course=x&record=y", 422),
        ("record=x&seq=1", 422),
        ("course={course}&seq=0", 422),
        ("course={course}&seq=99", 404),
        ("course=unknown", 404),
        ("record=unknown", 404),
        ("delivery=unknown", 404),
    ),
)
def test_what_is_not_in_the_log_is_not_proved(api, query, status):
    async def test(api):
        course = await signed(api)
        answer = await api.get(f"/v1/audit/proof?{query.format(course=course)}", "auditor")
        assert answer.status_code == status, answer.text

    api(test)


def test_what_no_checkpoint_covers_yet_is_not_proved(api):
    async def test(api):
        course = await signed(api)
        await api.walk(course, "record_session")
        await fan_out.bring_up_to_date(api.clinic)
        await problem(api, f"/v1/audit/proof?course={course}", 404, "No checkpoint covers it yet")

    api(test)


def test_without_a_checkpoint_it_is_said_how_there_is_one(api):
    async def test(api):
        course = (await api.open())["id"]
        for path in ("/v1/audit/checkpoint", "/v1/audit/consistency?from=1", f"/v1/audit/proof?course={course}"):
            await problem(api, path, 404, "IPT_LOG_KEY_FILE")
        for path in ("/log/default/checkpoint", "/log/default/tile/0/000"):
            assert (await api.client.get(path)).status_code == 404

    api(test)


def test_reading_a_proof_is_recorded(api):
    async def test(api):
        course = await signed(api)
        await proof(api, f"course={course}")
        (record,) = (await api.get(f"/v1/audit?kind=read&course={course}&actor=auditor-1", "auditor")).json()["items"]
        assert record["action"] == "log proof"

    api(test)


async def grown(api, size: int) -> list[leaves.Leaf]:
    """A signed log of many leaves."""
    row = {"organisation": "default", "course_id": None, "seq": None, "created_at": api.clinic.clock.now()}
    new = [{**row, "id": f"{n:036}", "hash": f"{n:064}"} for n in range(size)]
    await api.clinic.database.write(lambda connection: connection.execute(tables.log_outbox.insert(), new))
    await checkpoints.sign(api.clinic)
    return await api.clinic.read(log.leaves, 0, await api.clinic.read(log.size))


def test_anybody_can_rebuild_the_tree_from_its_tiles(api):
    async def test(api):
        known = await grown(api, 600)
        size = len(known)
        widths = [256, 256, size - 512]
        places = ["000", "001", f"002.p/{widths[2]}"]
        found = [await api.client.get(f"/log/default/tile/0/{place}") for place in places]
        assert [len(each.content) // 32 for each in found] == widths
        assert b"".join(each.content for each in found) == b"".join(leaves.hashes(known))
        assert all("immutable" in each.headers["cache-control"] for each in found)
        above = (await api.client.get("/log/default/tile/1/000.p/2")).content
        assert above == b"".join(ipt_verify.root_of(leaves.hashes(known)[at : at + 256]) for at in (0, 256))
        narrower = await api.client.get("/log/default/tile/0/002.p/1")
        assert narrower.content == found[2].content[:32]

    api(test)


def test_an_auditor_reads_the_leaves_themselves(api):
    async def test(api):
        known = await grown(api, 300)
        answer = await api.get("/log/default/tile/entries/000", "auditor")
        body, found = answer.content, []
        while body:
            length = int.from_bytes(body[:2], "big")
            found.append(body[2 : 2 + length])
            body = body[2 + length :]
        assert found == [each.canonical() for each in known[:256]]
        assert (await api.client.get("/log/default/tile/entries/000")).status_code == 401
        await problem(api, "/log/other/tile/entries/000", 404, "no such tile")

    api(test)


@pytest.mark.parametrize(
    "path",
    (
        "default/tile/0/001",  # not full yet
        "default/tile/0/001.p/200",
        "default/tile/0/000.p/0",
        "default/tile/0/000.p/256",
        "default/tile/0/000.p/x",
        "default/tile/0/0",
        "default/tile/0/x000/000",
        "default/tile/0/x001/000",
        "default/tile/1/000",
        "default/tile/7/000",
        "default/tile/-1/000",
        "default/tile/x/000",
        "default/tile/0/%00",
        "nobody/tile/0/000",
        "nobody/checkpoint",
        "default/tile/0/" + "x999/" * 40 + "000",
    ),
)
def test_a_tile_that_is_not_there_is_not_found(api, path):
    async def test(api):
        await grown(api, 300)
        assert (await api.client.get(f"/log/{path}")).status_code in {400, 404}

    api(test)


def test_no_leaf_of_what_is_not_signed_is_shown(api):
    async def test(api):
        known = await grown(api, 20)
        await fan_out.bring_up_to_date(api.clinic)
        size = len(known)
        assert (await api.client.get(f"/log/default/tile/0/000.p/{size}")).status_code == 200
        assert (await api.client.get(f"/log/default/tile/0/000.p/{size + 1}")).status_code == 404
        await problem(api, f"/log/default/tile/entries/000.p/{size + 1}", 404, "does not cover it")

    api(test)


def test_the_tiles_of_a_suspended_organisation_are_not_served(settings):
    async def test() -> None:
        async with running(settings) as api:
            await grown(api, 3)
            api.front_desk.clinics.is_active = lambda _: False
            assert (await api.client.get("/log/default/checkpoint")).status_code == 404

    asyncio.run(test())


def test_a_service_with_keys_signs_the_log_also_when_it_is_stopped(settings, tmp_path):
    (tmp_path / "log.keys").write_text(log_keys.new_file())
    keyed = settings.model_copy(update={"log_key_file": str(tmp_path / "log.keys")})

    async def test() -> None:
        async with running(keyed) as api:
            await api.open()
            await fan_out.bring_up_to_date(api.clinic)
            size = await api.clinic.read(log.size)
            assert (await api.get("/v1/audit/checkpoint", "auditor")).status_code == 404
        async with running(settings) as api:
            assert (await api.get("/v1/audit/checkpoint", "auditor")).json()["size"] >= size

    asyncio.run(test())
