"""The command line `ipt-workflow`. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""

import sys

from ipt_workflow.runtime.garbage import collect_seldom


def main() -> None:
    """The console script."""
    collect_seldom()
    from ipt_workflow.cli import process  # noqa: PLC0415 - loading all this is quicker after collect_seldom
    from ipt_workflow.cli.main import app  # noqa: PLC0415

    process.run(app, sys.argv[1:])
