"""Imports the lines of a file in their order, and reports what became of each."""

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from ipt_workflow.errors import CommandMalformed, IptError
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.imports.courses import CourseImport
from ipt_workflow.service.imports.groups import GroupImport
from ipt_workflow.service.imports.lines import Line, LineOfCourse, line_of
from ipt_workflow.service.imports.rehearsal import RehearsedClinic
from ipt_workflow.service.imports.report import ImportReport, LineResult, RefusedLine, why
from ipt_workflow.service.writes import FOR_EVER, IdempotencyKey
from ipt_workflow.store.units import KeptAnswer


async def run(
    clinic: Clinic,
    lines: Sequence[bytes],
    *,
    person: str = "import",
    dry_run: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> ImportReport:
    """Imports the lines in order. `person` is the actor of lines that name nobody, in courses without a therapist.

    With `dry_run` every line is judged, and nothing is written.
    """
    task = _Import(RehearsedClinic(clinic) if dry_run else clinic, person)
    for number, raw in enumerate(lines, start=1):
        if raw.strip():
            await task.take(number, raw)
        progress()
    return task.report


class _Import:
    def __init__(self, clinic: Clinic, person: str) -> None:
        self.clinic = clinic
        self.report = ImportReport()
        self.courses = CourseImport(clinic, person)
        self.groups = GroupImport(clinic, self.courses.ids)
        self._seen: dict[str, int] = {}

    async def take(self, number: int, raw: bytes) -> None:
        """Imports one line, and adds its result to the report."""
        line: Line | None = None
        try:
            line = line_of(raw)
            result = await self._take(line, hashlib.sha256(raw.strip()).hexdigest())
            self.report.accepted += result == "accepted"
            self.report.known += result == "known"
            self.report.linked += result == "linked"
        except IptError as error:
            self.report.refused.append(self._refused(number, line, error))

    async def _take(self, line: Line, digest: str) -> LineResult:
        key, kept = await self._kept(line, digest)
        if isinstance(line, LineOfCourse):
            return await self.courses.take(line, key, kept)
        return await self.groups.take(line, key, kept)

    async def _kept(self, line: Line, digest: str) -> tuple[IdempotencyKey, KeptAnswer | None]:
        """The line's key, and what an earlier run kept of the line.

        The key is made of the name that the line gives, or of the line itself and of how many equal lines came before it in the file.
        Raises CommandMalformed if another line gave that name.
        """
        times = self._seen[digest] = self._seen.get(digest, 0) + 1
        scope = hashlib.sha256(f"import\n{line.about}\n{digest}\n{times}".encode()).hexdigest()
        by_itself = IdempotencyKey(scope, digest, kept=FOR_EVER)
        if line.gives is None:
            return by_itself, await self.clinic.kept_answer(by_itself.scope)
        scope = hashlib.sha256(msgspec.json.encode(["import", *line.gives])).hexdigest()
        by_name = IdempotencyKey(scope, digest, kept=FOR_EVER)
        kept = await self.clinic.kept_answer(by_name.scope)
        if kept is not None and kept.body != digest:
            raise CommandMalformed(_taken(line.gives))
        return by_name, kept or await self.clinic.kept_answer(by_itself.scope)  # earlier versions kept every line by itself

    def _refused(self, number: int, line: Line | None, error: IptError) -> RefusedLine:
        if line is None or isinstance(line, LineOfCourse):
            return RefusedLine(number, line.course if line else None, why(error))
        return RefusedLine(number, None, self.courses.with_names(why(error)), line.group)


def _taken(gives: tuple[str, ...]) -> str:
    kind, *name = gives
    return (
        f"another line was imported that gave the name {name[-1]!r} to a {kind}: put that line back, and correct what it says where it is"
        f" recorded; give another {kind} another name"
    )
