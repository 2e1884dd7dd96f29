"""The relays of a process: one for each active organisation, and one ear for the commits of other processes."""

import asyncio

from ipt_workflow.ehr.deliveries import wakes
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics


async def run(clinics: Clinics, stop: asyncio.Event) -> None:
    """Delivers the webhooks of every active organisation until `stop` is set. Then deliveries under way are finished."""
    async with wakes.hearing(clinics.installation):
        await clinics.run_each(_relay, stop)


async def wake_others(clinics: Clinics, stop: asyncio.Event) -> None:
    """Wakes the relays of other processes until `stop` is set, for a process that delivers nothing itself."""
    await clinics.run_each(_wake, stop)


async def _relay(clinic: Clinic, stop: asyncio.Event) -> None:
    await Relay(clinic).run(stop)


async def _wake(clinic: Clinic, stop: asyncio.Event) -> None:
    async with wakes.notifying(clinic):
        await stop.wait()
