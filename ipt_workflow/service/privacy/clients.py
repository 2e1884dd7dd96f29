"""Whom a request about a client's rights means, as far as the client exists for whoever asks."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import Relation
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.values.types import ClientRef

NO_CLIENT = "No client is known by this, or none that you may see. Check the reference."
ONE = "give either the client's reference, or a course of theirs"


class NamedClient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client, by exactly their reference or by a course of theirs. After an erasure only a course leads to them."""

    client_ref: ClientRef | None = None
    course: str | None = None


class SeenClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client with their courses that exist for whoever asks, in the order they were opened. `ref` is None if they were erased."""

    id: str
    ref: str | None
    courses: tuple[StoredCourse, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(each.course.id for each in self.courses)

    @property
    def relation(self) -> Relation | None:
        """Why whoever asks may: by the first of the courses."""
        return self.courses[0].relation


class RightsOfClients:
    """Finds the clients of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def seen(self, principal: Principal, question: str, named: NamedClient) -> SeenClient:
        """The client, if the principal may ask the question of the policy, and sees a course of theirs by more than emergency access.

        Raises Forbidden, NotFound or CommandInvalid.
        """
        await self.clinic.require(principal, question)
        if (named.client_ref is None) is (named.course is None):
            raise CommandInvalid([Fault("client_ref", ONE)])
        courses = await self._courses(named)
        found = list((await self.clinic.all_seen(principal, courses)).values())
        if not found:
            if courses:
                raise await self.clinic.hidden(principal, question, [each.course.id for each in courses], NO_CLIENT)
            await self.clinic.log(principal, "refusal", question, (), ["client"])
            raise NotFound(NO_CLIENT)
        lasting = [each for each in found if not each.is_glimpse]
        if not lasting:
            await self.clinic.require_lasting(principal, question, found[0])
        first = lasting[0]
        return SeenClient(id=first.course.client, ref=first.client_ref, courses=tuple(lasting))

    async def _courses(self, named: NamedClient) -> Sequence[StoredCourse]:
        if named.course is not None:
            stored = await self.clinic.courses.get(named.course) if "\x00" not in named.course else None
            client = stored.course.client if stored else None
        else:
            client = await self.clinic.read(stored_courses.client_id, named.client_ref or "")
        return await self.clinic.read(stored_courses.of_client, client) if client else ()
