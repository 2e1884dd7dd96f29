"""The command line `ipt-workflow`. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""

from ipt_workflow.cli.main import app, main

__all__ = ["app", "main"]
