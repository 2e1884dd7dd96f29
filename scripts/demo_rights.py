"""Shows on the demonstration how a client's rights are honoured: `python scripts/demo_rights.py FOLDER`, once, after
`ipt-workflow demo`.

A client asks for their data. The export is made, and verified without the service. Then they are erased, and the log still verifies from the
checkpoint of before. An old record is due, a hold stops its erasure, and nothing goes by itself. `make serve` runs it, with the database's address
and IPT_LOG_KEY_FILE in the environment. It prints every command, so that each can be tried again.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from ipt_workflow.cli.main import app
from ipt_workflow.journal.proof import ipt_verify

CLIENT, FORMER = "DEMO-039", "DEMO-OLD"  # who completed their therapy, and whose ended long ago
CLIENTS_FILE = "client.zip"
SUPERVISOR, ADMINISTRATOR = "--as supervisor-1 --role supervisor", "--as admin-1"
OLD_COURSE = (
    ("refer", {"source": "General practitioner", "indication": "depression"}, {"client_ref": FORMER, "therapist": "therapist-1"}),
    ("decline", {"end_code": "13", "onward_plan": "Her general practitioner goes on."}, {"reason": "She found another therapy."}),
)


class StepFailed(Exception):
    """A step of the demonstration ended otherwise than it should."""


class Demonstration:
    """The steps, in a folder that holds what a client or an auditor would take away."""

    def __init__(self, folder: Path, client: str = CLIENT) -> None:
        self.folder = folder
        self.client = client

    def show(self) -> None:
        """All steps, from the client's question to the record that is due."""
        self.policy()
        self.heading("A client asks for a copy of their data. The file verifies without the service.")
        self.command(f"client export {self.client} --ground gdpr-15 {SUPERVISOR} --to {self.folder / CLIENTS_FILE}")
        self.verify(CLIENTS_FILE)
        self.heading("An auditor takes the log away, and keeps its newest checkpoint.")
        self.command(f"log export --to {self.folder / 'before.zip'}")
        self.verify("before.zip")
        self.heading("The client wishes to be erased: first what would go, then the deed.")
        self.command(f"client erase {self.client} --ground consent_withdrawn {ADMINISTRATOR} --dry-run")
        self.command(f"client erase {self.client} --ground consent_withdrawn {ADMINISTRATOR}")
        self.heading("The log still verifies, from the checkpoint that the auditor kept. So does the client's own file.")
        self.command(f"log export --to {self.folder / 'after.zip'}")
        self.verify("after.zip")
        self.verify(CLIENTS_FILE)
        self.heading("A record from long ago is due. A hold stops its erasure, and nothing goes by itself.")
        self.old_record()

    def policy(self) -> None:
        """The keys of the log, and whose signatures the auditor trusts."""
        self.heading("The log gets its keys, and the auditor notes whom they trust.")
        print("$ ipt-workflow log key --json", flush=True)
        shown = subprocess.run([_program(), "log", "key", "--json"], capture_output=True, text=True, check=True)
        lines = [f"log {key}\n" for key in json.loads(shown.stdout)["keys"]]
        print(f"{len(lines)} keys are in {self.folder / 'policy.txt'}.", flush=True)
        (self.folder / "policy.txt").write_text("".join(lines) + "quorum none\n", encoding="utf-8")
        shutil.copy(ipt_verify.__file__, self.folder / "ipt_verify.py")

    def old_record(self) -> None:
        course = self.folder / "old.ndjson"
        lines = [
            {"course": "old", "trigger": trigger, "occurred_at": "2012-05-02T10:00:00+02:00", "data": data, **more}
            for trigger, data, more in OLD_COURSE
        ]
        course.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
        self.command(f"import {course}")
        self.command(f"retention adopt germany-record {ADMINISTRATOR}")
        self.command(f"mark set hold {FORMER} --ground litigation {ADMINISTRATOR}")
        self.command("retention due")
        self.command(f"client erase {FORMER} --ground retention {ADMINISTRATOR}", refused=True)

    def heading(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def command(self, line: str, *, refused: bool = False) -> None:
        """Runs a command of the service in this process, which starts once. Raises StepFailed if it ends otherwise than it should."""
        print(f"$ ipt-workflow {line}", flush=True)
        try:
            app(line.split())
        except SystemExit as ended:
            if bool(ended.code) != refused:
                raise StepFailed(line) from None

    def verify(self, bundle: str) -> None:
        """Runs the one-file verifier by itself: no package is in its reach. Raises StepFailed."""
        kept = ["--kept", "kept.txt"] if bundle != CLIENTS_FILE else []
        arguments = ["ipt_verify.py", "--policy", "policy.txt", *kept, bundle]
        print(f"$ python {' '.join(arguments)}", flush=True)
        found = subprocess.run(
            [sys.executable, "-I", "-S", *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        print(found.stdout, end="", flush=True)
        if found.returncode not in {0, 3}:
            raise StepFailed(bundle)


def _program() -> Path:
    return Path(sys.executable).with_name("ipt-workflow")


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        Demonstration(folder).show()
    except StepFailed as step:
        print(f"This step failed: {step}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
