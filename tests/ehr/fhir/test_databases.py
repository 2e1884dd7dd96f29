"""Both databases answer alike."""

import asyncio
import json

from support import databases
from support.fhir_caseload import WANTED, caseload, matched, posted
from support.http_client import running


def test_searches_clients_histories_and_the_audit_log_are_answered_alike_by_both_databases(server, tmp_path):
    settings = databases.empty(tmp_path, server)

    async def test():
        async with running(settings) as api:
            courses = await caseload(api)

            async def resources(query: str, role: str = "therapist") -> list[dict]:
                return matched((await api.get(f"/fhir/R4/{query}", role)).json())

            found = {query: [courses.index(each["id"].partition(".")[0]) for each in await resources(query)] for query, _ in WANTED}
            assert found == dict(WANTED)
            of_client = (await posted(api, "Encounter", **{"patient:identifier": "EHR-2"})).json()
            assert len(matched(of_client)) == 2
            history = (await api.get(f"/fhir/R4/EpisodeOfCare/{courses[2]}/_history")).json()
            assert [entry["resource"]["status"] for entry in history["entry"]] == ["cancelled", "active", "planned", "planned"]
            created = await resources("AuditEvent?action=C&date=ge2020&entity-role=4", "auditor")
            assert [each["entity"][0]["what"]["reference"] for each in created[-3:]] == [
                f"EpisodeOfCare/{course}/_history/1" for course in courses
            ]
            assert await resources(f"AuditEvent?_id={created[-1]['id']}", "auditor") == created[-1:]
            of_client = (await posted(api, "AuditEvent", "auditor", **{"patient:identifier": "EHR-2", "action": "C"})).json()
            assert [each["id"] for each in matched(of_client)] == [created[-2]["id"]]
            export = await api.get("/v1/audit/export?format=fhir&kind=transition", "auditor")
            assert len([json.loads(line) for line in export.text.splitlines()]) == 11

    asyncio.run(test())
