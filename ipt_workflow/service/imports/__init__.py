"""Imports courses and groups from NDJSON. Each line is judged as the same request over HTTP would be.

A line names its course or its group by a name of the file's own. The line that opens the course, or makes the group, gives the name.
An idempotency key keeps the result of each line, so that a corrected or longer file can be imported again without doubles.
"""

from ipt_workflow.service.imports.imports import run
from ipt_workflow.service.imports.report import ImportReport, RefusedLine

__all__ = ["ImportReport", "RefusedLine", "run"]
