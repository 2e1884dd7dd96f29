"""Imports the lines of a file in their order, and reports what became of each."""

import hashlib
import hmac
from collections.abc import Callable, Sequence

import msgspec

from ipt_workflow.errors import CommandMalformed, IptError
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.idempotency import SALT, is_of_body
from ipt_workflow.service.imports.courses import CourseImport
from ipt_workflow.service.imports.groups import GroupImport
from ipt_workflow.service.imports.lines import Line, LineOfCourse, line_of
from ipt_workflow.service.imports.rehearsal import RehearsedClinic
from ipt_workflow.service.imports.report import ImportReport, LineResult, RefusedLine, why
from ipt_workflow.service.writes import FOR_EVER, IdempotencyKey
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.units import IMPORTED, KeptAnswer

ERASED = "speaks of what was erased, so nobody can tell whether it was imported: leave the lines about it out of the file"


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
        self._salts: dict[str, bytes] = {}  # by the file's names

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
        Raises CommandMalformed if another line gave that name, or if what tells whether the line is known was erased.
        """
        times = self._seen[digest] = self._seen.get(digest, 0) + 1
        plain = [f"import\n{line.about}\n{digest}\n{times}".encode()]
        if line.gives is None:
            own = _scope(hmac.new(await self._salt(line), plain[0], hashlib.sha256).hexdigest())
        else:
            plain = [msgspec.json.encode(["import", *line.gives]), *plain]
            own = _scope(hashlib.sha256(plain[0]).hexdigest())
        before = [hashlib.sha256(each).hexdigest() for each in plain]  # as versions before revision 0033 kept it
        found = [kept for scope in (own, *before) if (kept := await self.clinic.kept_answer(scope))]
        if found and line.gives and not await is_of_body(self.clinic, found[0], digest):
            raise CommandMalformed(_taken(line.gives))
        return IdempotencyKey(own, digest, kept=FOR_EVER), found[0] if found else None

    async def _salt(self, line: Line) -> bytes:
        """What keys the digest of a line without a name: a salt that goes with the erasure of what the line is about.

        Raises CommandMalformed if it is gone.
        """
        if line.about not in self._salts:
            salt = await (self._salt_of_course(line.about) if isinstance(line, LineOfCourse) else self._salt_of_group(line.about))
            if salt is None:
                raise CommandMalformed(ERASED)
            if not salt:
                return b""  # nothing of this name is known, so the line will be refused
            self._salts[line.about] = bytes.fromhex(salt)
        return self._salts[line.about]

    async def _salt_of_course(self, name: str) -> str | None:
        course_id = self.courses.ids.get(name)
        entries = await self.clinic.read(stored_courses.load_entries, course_id, 0, 1) if course_id else []
        return entries[0].salt if entries else ""

    async def _salt_of_group(self, name: str) -> str | None:
        made = await self.clinic.kept_answer(_scope(hashlib.sha256(msgspec.json.encode(["import", "group", name])).hexdigest()))
        return (made.body[:SALT] or None) if made else ""

    def _refused(self, number: int, line: Line | None, error: IptError) -> RefusedLine:
        if line is None or isinstance(line, LineOfCourse):
            return RefusedLine(number, line.course if line else None, why(error))
        return RefusedLine(number, None, self.courses.with_names(why(error)), line.group)


def _scope(digest: str) -> str:
    return IMPORTED + digest[len(IMPORTED) :]


def _taken(gives: tuple[str, ...]) -> str:
    kind, *name = gives
    return (
        f"another line was imported that gave the name {name[-1]!r} to a {kind}: put that line back, and correct what it says where it is"
        f" recorded; give another {kind} another name"
    )
