"""The verb `$everything`: a client with all that is served of their courses."""

from contextlib import aclosing

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.fhir.compartment import MemberPlace, WantedMembers, place_of
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.ehr.fhir_charts import ChartReader
from ipt_workflow.ehr.fhir_searches import courses_in
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store.courses import Filters


class MemberPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a client's resources. `total` counts all of them but the protocols. `next` is None on the last page."""

    resources: tuple[Resource, ...]
    total: int
    next: MemberPlace | None


class ClientResources:
    """Reads everything of a clinic's clients."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.charts = ChartReader(clinic)

    async def page(
        self, principal: Principal, site: Site, client: str, wanted: WantedMembers, after: MemberPlace | None, limit: int
    ) -> MemberPage:
        """What is wanted of a client, after a place. Raises NotFound unless the caller may see a course of theirs."""
        await self.clinic.require(principal, "read courses")
        await self.clinic.require(principal, "search courses by client")
        seen = await self.charts.visible_patient(principal, site, client)
        found = await self.all_of(principal, site, client, wanted)
        rest = [each for each in found if after is None or place_of(each) > after]
        shown = tuple(rest[:limit])
        await self.clinic.log(principal, "read", "fhir everything Patient", courses_in(seen))
        total = sum(each.kind != "PlanDefinition" for each in found)
        return MemberPage(resources=shown, total=total, next=place_of(shown[-1]) if 0 < limit < len(rest) else None)

    async def all_of(self, principal: Principal, site: Site, client: str, wanted: WantedMembers) -> list[Resource]:
        """All that is wanted of a client, as far as the caller may see it. The caller records it."""
        async with aclosing(self.charts.walk(principal, site, Filters(client=client), "", patients=True, whole=True)) as walk:
            async for each in walk:  # the first course has the chart of all
                return wanted.of(each.chart)
        return []
