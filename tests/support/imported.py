"""A database into which files are imported, each after a rehearsal that must report the same."""

import datetime as dt
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import verification
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.schema import tables
from support import service_walk
from support.published import Line, Story


class Imported:
    """The database, and what the service shows of its courses."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.file = folder / "courses.ndjson"

    def __call__(self, story: Story | list[Line]) -> dict[str, Any]:
        """Imports a story, and returns the report. The rehearsal writes nothing."""
        lines = story.lines if isinstance(story, Story) else story
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        before = self.rows()
        rehearsed = self._run("--dry-run")
        assert self.rows() == before
        report = self._run()
        assert rehearsed == report
        return report

    def _run(self, *more: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, ["import", str(self.file), "--json", *more])
        report: dict[str, Any] = json.loads(result.stdout)
        assert result.exit_code == (1 if report["refused"] else 0)
        return report

    def rows(self) -> dict[str, int]:
        """How many rows each table has, but for protocols, which every clinic that opens keeps."""
        with closing(sqlite3.connect(self.settings.database_url.removeprefix("sqlite:///"))) as connection:
            return {
                name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in tables.METADATA.tables
                if name != tables.protocol.name
            }

    def read(self, work: Callable[[Clinic], Awaitable[Any]]) -> Any:
        """What a coroutine function finds in the clinic, whose journal is whole."""

        async def read(clinic: Clinic) -> Any:
            assert (await verification.verify(clinic)).ok
            return await work(clinic)

        return service_walk.with_clinic(self.settings, read, VirtualClock(dt.datetime.now(dt.UTC)))

    def courses(self) -> dict[str, Any]:
        """The therapist's courses as they see them today, by client."""

        async def see(clinic: Clinic) -> dict[str, Any]:
            reads = CourseReads(clinic)
            listed = await reads.caseload(service_walk.THERAPIST, Filters(), "", 50)
            shown = [await reads.course(service_walk.THERAPIST, each.id) for each in listed]
            return {each.client_ref or "": msgspec.to_builtins(each) for each in shown}

        found: dict[str, Any] = self.read(see)
        return found

    def shown(self) -> Any:
        """The only course, as its therapist sees it today."""
        (course,) = self.courses().values()
        return course
