"""What an auditor's pages are tried on: a course that several people had to do with."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def audited(browse: Callable[..., Any]) -> Callable[..., Any]:
    """Runs `test(site, auditor, course)`: a browser in which an auditor is signed in, and a course that a supervisor read."""

    def run(test: Callable[..., Any]) -> Any:
        async def inside(site: Any) -> Any:
            api = await site.api()
            course = (await api.open())["id"]
            assert (await api.fire(course, "start")).status_code == 409
            await api.walk(course, "record_consent", "start")
            await api.get(f"/v1/courses/{course}", "supervisor")
            await api.open("EHR-2", therapist="therapist-2")
            return await test(site, await site.visitor("auditor-1", "auditor"), course)

        return browse(inside)

    return run
