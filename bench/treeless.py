"""The service without the tree over its log, to measure what the tree costs: `python -m bench.treeless serve …`."""

import sys
from typing import Any

from ipt_workflow import cli
from ipt_workflow.store import log


def _nothing(*_: Any) -> int:
    return 0


if __name__ == "__main__":
    log.append = _nothing
    sys.argv[0] = "ipt-workflow"
    cli.main()
