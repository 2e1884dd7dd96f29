"""The verbs about the versions of protocols: list and show them, compare two, prove one, and move courses from one to another."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.gate import GateReport
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.statements import Difference, differences
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.protocols.migration import BATCH, MigrationResult, Mover, PlannedMove
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.values.types import Text, whole

CourseId = Annotated[str, Meta(pattern=whole("[0-9a-f-]{36}"))]
NO_VERSION = "There is no such protocol, or no such version of it."
SAME = "names the version that the courses have; choose another"
NOT_IN_FORCE = "names a version whose file is gone, so no course can move to it"


class KnownVersion(msgspec.Struct, frozen=True):
    """A version that courses run under. New courses may use it if it is `in_force`: its file is there."""

    protocol: Protocol
    in_force: bool


class MovePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What moving a page of live courses would do: how many by kind, and why by kind and rule.

    `moves` are those courses of the page that the reader may see. `next` is where the next page begins.
    """

    kinds: dict[str, int]
    because: dict[tuple[str, str], int]
    moves: list[PlannedMove]
    next: str | None


class MoveOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The courses to move, and why. The reason is recorded in every one of them."""

    courses: Annotated[tuple[CourseId, ...], Meta(min_length=1)]
    reason: Text


class ProtocolVersions:
    """The versions of the protocols that a clinic's courses run under."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def every(self, principal: Principal) -> list[KnownVersion]:
        """Every version, also those whose file is gone, by name and number."""
        await self.clinic.require(principal, "read protocols")
        return [self._known(each) for each in self.clinic.protocols]

    async def of(self, principal: Principal, protocol_id: str) -> list[KnownVersion]:
        """The versions of one protocol. Raises NotFound if there is none."""
        found = [each for each in await self.every(principal) if each.protocol.id == protocol_id]
        if not found:
            raise NotFound(NO_VERSION)
        return found

    async def one(self, principal: Principal, protocol_id: str, version: int) -> KnownVersion:
        """Raises NotFound."""
        await self.clinic.require(principal, "read protocols")
        return self._known(self._find(protocol_id, version))

    async def differences(self, principal: Principal, protocol_id: str, before: int, after: int) -> list[Difference]:
        """What differs between two versions, value by value, with their sources. Raises NotFound."""
        await self.clinic.require(principal, "read protocols")
        old, new = self._find(protocol_id, before), self._find(protocol_id, after)
        return differences(old.source, new.source)

    async def proof(self, principal: Principal, protocol_id: str, version: int) -> GateReport | None:
        """What the gate says of a version; None while it is at work. Raises NotFound."""
        await self.clinic.require(principal, "try a protocol")
        return await self.clinic.installation.proofs.of(self._find(protocol_id, version))

    async def plan(self, principal: Principal, protocol_id: str, before: int, after: int, start: str = "") -> MovePlan:
        """What would become of the next BATCH live courses after `start`. The reading is recorded, with every course.

        Raises NotFound or CommandInvalid. Who may read no course is told the numbers alone.
        """
        await self.clinic.require(principal, "try a protocol")
        mover = self._mover(protocol_id, before, after)
        planned = await mover.page(principal, start)
        kinds, because = Counter[str](), Counter[tuple[str, str]]()
        for each in planned:
            kinds[each.move.kind] += 1
            found = each.move.obstacles or (*each.move.invalid, *each.move.gaps)
            because.update((each.move.kind, name) for name in dict.fromkeys(finding.name for finding in found))
        seen = await self._seen(principal, [each.course for each in planned])
        return MovePlan(
            kinds=dict(kinds),
            because=dict(because.most_common()),
            moves=[each for each in planned if each.course in seen],
            next=planned[-1].course if len(planned) == BATCH else None,
        )

    async def move(
        self, principal: Principal, protocol_id: str, before: int, after: int, order: MoveOrder
    ) -> list[MigrationResult]:
        """Moves the chosen courses, at most BATCH of them. Those that do not exist for the principal are `unknown`.

        Raises NotFound or CommandInvalid.
        """
        await self.require_mover(principal)
        mover = self._mover(protocol_id, before, after)
        if len(order.courses) > BATCH:
            raise CommandInvalid([Fault("courses", f"must name at most {BATCH} courses")])
        seen = await self._seen(principal, order.courses)
        results = [MigrationResult(course=each, became="unknown") for each in order.courses if each not in seen]
        async for batch in mover.move(principal, [each for each in order.courses if each in seen], order.reason):
            results += batch
        return results

    async def require_mover(self, principal: Principal) -> None:
        """Raises Forbidden unless the principal may both plan moves and make them, as supervisors may."""
        await self.clinic.require(principal, "try a protocol")
        await self.clinic.require(principal, "change a course")

    def _mover(self, protocol_id: str, before: int, after: int) -> Mover:
        old, new = self._find(protocol_id, before), self._find(protocol_id, after)
        if before == after:
            raise CommandInvalid([Fault("to", SAME)])
        if not self._known(new).in_force:
            raise CommandInvalid([Fault("to", NOT_IN_FORCE)])
        return Mover(self.clinic, old, new)

    async def _seen(self, principal: Principal, ids: Sequence[str]) -> set[str]:
        if not (ids and policy.may(principal, "read courses")):
            return set()
        return set(await self.clinic.all_seen(principal, await self.clinic.read(stored_courses.courses_by_id, ids)))

    def _find(self, protocol_id: str, version: int) -> Protocol:
        for each in self.clinic.protocols:
            if (each.id, each.version) == (protocol_id, version):
                return each
        raise NotFound(NO_VERSION)

    def _known(self, protocol: Protocol) -> KnownVersion:
        return KnownVersion(protocol, (protocol.id, protocol.version) in self.clinic.catalogue.protocols)
