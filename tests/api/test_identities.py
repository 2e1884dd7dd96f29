"""Two identities that look alike are never two clients or two people; those that are stored already go on being read."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from support import databases
from support.http_client import running

from ipt_workflow.service import check
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.values import identities

TWINS = ("EHR-1\n", "EHR-1 ", "\u00a0EHR-1", "EHR\u200b-1", "EHR-1\u2028", "Zoe\u0308")
SOURCE = {"source": "General practitioner"}


async def refused(answer, where: str) -> None:
    assert answer.status_code == 422, answer.text
    assert [each["where"] for each in answer.json()["errors"]] == [where]
    assert "must" in answer.json()["errors"][0]["message"]
    assert "^" not in answer.json()["errors"][0]["message"]  # no pattern to decipher


@pytest.mark.parametrize("twin", TWINS, ids=ascii)
def test_a_twin_of_a_client_or_a_person_is_refused_wherever_it_is_named(api, twin):
    async def test(api):
        course = (await api.open())["id"]
        body = {"client_ref": "EHR-2", "protocol": "ipt", "data": SOURCE}
        await refused(await api.post("/v1/courses", {**body, "client_ref": twin}), "client_ref")
        await refused(await api.post("/v1/courses", {**body, "therapist": twin}, "supervisor"), "therapist")
        transfer = await api.fire(course, "transfer", {"therapist": twin, "handover": "Told"}, "supervisor", reason="Leave")
        await refused(transfer, "data.therapist")
        relink = await api.fire(course, "relink_client", {"client_ref": twin, "kind": "merge"}, "supervisor", reason="Merged")
        await refused(relink, "data.client_ref")
        group = {"protocol": "ipt-group", "label": "g1", "facilitators": [twin]}
        await refused(await api.post("/v1/groups", group), "facilitators[0]")
        assert (await api.get(f"/v1/courses/{course}")).json()["version"] == 1

    api(test)


@pytest.mark.parametrize(
    ("path", "body", "where"),
    (
        ("/v1/groups", {"protocol": "ipt-group", "label": "g1\n"}, "label"),
        ("/v1/sources", {"id": "ehr\n"}, "id"),
        ("/v1/sources", {"id": "ehr", "client_prefix": "\u00a0a"}, "client_prefix"),
        ("/v1/sources", {"id": "ehr", "client_prefix": "a\n"}, "client_prefix"),
    ),
)
def test_a_name_with_a_newline_after_it_is_refused(api, path, body, where):
    async def test(api):
        answer = await api.post(path, body, "admin" if path == "/v1/sources" else "therapist")
        assert answer.status_code == 422, answer.text
        assert [each["where"] for each in answer.json()["errors"]] == [where]

    api(test)


def test_what_is_stored_already_is_read_and_reported_and_can_be_mended(settings, monkeypatch):
    async def before(api) -> str:
        course = (await api.open())["id"]
        monkeypatch.setattr(identities, "sound", lambda _decoded: True)  # as it was before identities were checked
        moved = await api.fire(course, "transfer", {"therapist": "Zoe\u0308", "handover": "Told"}, "supervisor", reason="Leave")
        assert moved.status_code == 201, moved.text
        monkeypatch.undo()
        return course

    async def after(api, course: str) -> None:
        answer = await api.get(f"/v1/courses/{course}", "supervisor")
        assert (answer.json()["client_ref"], answer.json()["therapist"]) == ("EHR-1\n", "Zoe\u0308")
        assert (await api.get(f"/v1/courses/{course}/transitions", "auditor")).status_code == 200
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]
        await api.post("/v1/people", {"id": "Zoë", "name": "Zoë", "roles": ["therapist"]}, "admin")
        for trigger, data in (
            ("transfer", {"therapist": "Zoë", "handover": "Told"}),
            ("relink_client", {"client_ref": "EHR-1", "kind": "merge"}),
        ):
            mended = await api.fire(course, trigger, data, "supervisor", reason="Mended")
            assert mended.status_code == 201, mended.text

    async def faults() -> list[str]:
        database = open_database(settings.database_url)
        try:
            return await database.read(check.faults)
        finally:
            await database.close()

    async def test() -> None:
        async with running(settings) as api:
            course = await before(api)
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("UPDATE client SET ref = ref || char(10)")
        found = await faults()
        assert [each.split("'")[0] for each in found] == ["identity client.ref of ", "identity course.therapist of "]
        assert "U+000A" in found[0]
        assert "relink_client" in found[0]
        assert course in found[1]
        assert "transfer" in found[1]
        assert "EHR" not in "".join(found)
        async with running(settings) as api:
            await after(api, course)
        assert await faults() == []

    asyncio.run(test())
