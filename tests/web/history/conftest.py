"""What the pages of a course's history are tried on: a course with a score, whose entry is number 4."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def scored(browse: Callable[..., Any], clock: Any) -> Callable[..., Any]:
    """Runs `test(site, therapist, course)`: a browser in which the course's therapist is signed in."""

    def run(test: Callable[..., Any]) -> Any:
        async def inside(site: Any) -> Any:
            api = await site.api()
            course = (await api.open())["id"]
            await api.walk(course, "record_consent", "start")
            assert (await api.fire(course, "record_measure", {"instrument": "phq9", "total": 12})).status_code == 201
            return await test(site, await site.visitor("therapist-1", "therapist"), course)

        return browse(inside)

    return run
