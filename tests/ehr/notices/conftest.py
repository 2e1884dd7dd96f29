"""Clinics with a source of notices, on a clock that does not move by itself."""

import pytest
from support.ehr_sender import Ehr, started
from support.fhir_bodies import START

from ipt_workflow.runtime.clock import VirtualClock


@pytest.fixture
def with_ehr(api):
    """Runs a test with a source and a started course of EHR-1: `with_ehr(test)` with `test(api, ehr, course_id)`."""

    def run(test, kind="bearer", **source):
        async def inside(api):
            ehr = await Ehr.register(api, kind=kind, **source)
            return await test(api, ehr, await started(api))

        return api(inside, VirtualClock(START))

    return run


@pytest.fixture
def with_two(api):
    """Runs a test with a source and started courses of EHR-1 and EHR-2: `with_two(test)` with `test(api, ehr, first, second)`."""

    def run(test, kind="bearer", **source):
        async def inside(api):
            ehr = await Ehr.register(api, kind=kind, **source)
            second = (await api.open("EHR-2"))["id"]
            await api.walk(second, "record_consent", "start")
            return await test(api, ehr, await started(api), second)

        return api(inside, VirtualClock(START))

    return run
