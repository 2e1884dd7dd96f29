"""The verbs by which something is put right: what can be corrected, who must agree, and what a correction would change."""

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import triggers
from ipt_workflow.errors import Refusal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.histories import Histories, HistoryView
from ipt_workflow.service.views.differences import ViewDifference, differences
from ipt_workflow.service.views.steps import StepView
from ipt_workflow.service.writes import Write
from ipt_workflow.store import courses as stored_courses


class CorrectableStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that somebody wants to put right. `refusals` say why its data cannot be corrected by them, if they cannot.

    Its time may be corrected all the same, if `time_alone`.
    """

    history: HistoryView
    step: StepView
    refusals: tuple[Refusal, ...]
    time_alone: bool


class CorrectionPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a correction would do. `refusals` and `warnings` stand against it; without refusals, `changes` are those of the course."""

    refusals: tuple[Refusal, ...]
    warnings: tuple[Refusal, ...]
    changes: tuple[ViewDifference, ...]


class Corrections:
    """Prepares corrections in a clinic's courses. The correction itself is fired as every trigger is."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.histories = Histories(clinic)
        self.courses = Courses(clinic)

    async def of(self, principal: Principal, course_id: str, seq: int) -> CorrectableStep:
        """A step of a course that the caller may change, and what stands against correcting its data. Raises NotFound."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "change a course", [course_id])
        await self.courses.decisions.permit(principal, ["amend"], stored)
        history = await self.histories.step(principal, course_id, seq)
        step = history.steps[0]
        entries = (await self.clinic.entries(course_id))[: stored.course.version]
        now = max(self.clinic.clock.now(), stored.course.last_recorded_at)
        context = self.clinic.with_history(self.clinic.context(principal, now), entries)
        machine = self.clinic.machine_of(stored.course)
        ending = step.trigger in triggers.ENDINGS
        refusals = machine.correctable(stored.course, {"supersedes": step.latest, "data": {}}, context)
        time_alone = ending and not machine.correctable(stored.course, {"supersedes": step.latest}, context)
        return CorrectableStep(history=history, step=step, refusals=refusals, time_alone=time_alone)

    async def preview(self, principal: Principal, course_id: str, write: Write) -> CorrectionPreview:
        """What a correction would change. Records the read and nothing else."""
        stored = await self.clinic.visible_course(principal, course_id)
        context = self.clinic.context(principal, max(self.clinic.clock.now(), stored.course.last_recorded_at))
        before = self.clinic.course_view(stored.course, context, stored.head, stored.client_ref, asked=stored.asked)
        found = await self.courses.preview(principal, course_id, write)
        accepted = found.option.allowed and found.course is not None
        return CorrectionPreview(
            refusals=found.option.refusals,
            warnings=found.option.warnings,
            changes=differences(before, found.course) if accepted and found.course else (),
        )

    async def course_of(self, principal: Principal, client_ref: str, but: str) -> str | None:
        """The course of another client to which a step can be moved: an open one that exists for the caller, if there is one."""
        await self.clinic.require(principal, "search courses by client")
        client = await self.clinic.read(stored_courses.client_id, client_ref)
        found = await self.clinic.read(stored_courses.of_client, client) if client else []
        seen = [each.course for each in (await self.clinic.all_seen(principal, found)).values() if each.course.id != but]
        return max(seen, key=lambda each: (each.open, each.acute, each.id)).id if seen else None
