"""The service under a role that owns nothing loses its rights for a while: every request is answered with 503, and nothing is lost."""

import asyncio

import asyncpg

from faults import after
from faults.rounds import rounds
from ipt_workflow.store.schema import grants, tables

ROLE = "ipt_served"


async def run(place, *statements: str) -> None:
    connection = await asyncpg.connect(place.url)
    await connection.execute("\n".join(statements))
    await connection.close()


def test_rights_that_are_taken_away_and_given_again_lose_nothing(on_postgres, seeds):
    place = on_postgres

    async def harm(chance):
        await run(place, *(f"REVOKE INSERT, UPDATE ON {table} FROM {ROLE};" for table in tables.METADATA.tables))
        await asyncio.sleep(chance.uniform(0.3, 0.8))
        await run(place, *grants.of_service(ROLE))

    async def play():
        await run(place, f"CREATE ROLE {ROLE} LOGIN;", *grants.of_service(ROLE))
        await rounds(place, seeds, "rights", harm, place.url.replace("postgres@", f"{ROLE}@"))

    asyncio.run(play())
    after.verifies(place.url)
