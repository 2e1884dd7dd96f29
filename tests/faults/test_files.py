"""The file of a SQLite database is moved away while clients work, and put back: nothing is acknowledged in between, and nothing is lost."""

import asyncio
import shutil

from faults import after
from faults.histories import Load


def test_a_file_that_is_away_for_a_while_loses_nothing(on_sqlite, seeds):
    place = on_sqlite

    async def play():
        async with place.service() as service:
            await service.start()
            for seed in seeds:
                async with Load([service.url], place.tokens["therapist"], seed, name="moved") as load:
                    await load.open()
                    working = asyncio.create_task(load.run(most=10_000, seconds=2))
                    await asyncio.sleep(0.4)
                    shutil.move(place.file, place.folder / "away.db")
                    await asyncio.sleep(0.1)  # what was under way is decided
                    before = len(load.acknowledged)
                    await asyncio.sleep(0.5)
                    assert len(load.acknowledged) == before
                    assert not place.file.exists()
                    shutil.move(place.folder / "away.db", place.file)
                    await working
                    assert len(load.acknowledged) > before
                    await after.holds(load, place)
            assert service.errors() == ""

    asyncio.run(play())
    after.verifies(place.url)
