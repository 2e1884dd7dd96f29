"""`witness`: cosigns the checkpoints of logs, so that a log which is rewritten is found out. It needs no database."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvicorn

from ipt_workflow.api.witness import WitnessReply, WitnessServer
from ipt_workflow.cli.output import err, fail, listening, out, print_json, print_table, usage, write_json
from ipt_workflow.cli.process import FAILED
from ipt_workflow.cli.witnesses import list_witnesses, request, submit, take
from ipt_workflow.errors import IptError
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import NotProved
from ipt_workflow.runtime import kept_files
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service.audit import log_keys, witness_state
from ipt_workflow.service.audit.log_keys import CheckpointSigner
from ipt_workflow.service.audit.witness_state import Witness

app = typer.Typer(help="Witnesses of logs: to be one (key, sign, serve, show), and to have some.", no_args_is_help=True)
app.command("list")(list_witnesses)
app.command()(submit)
app.command()(request)
app.command()(take)
CONNECTIONS_MAX = 64
_NAME = re.compile(r"[!-*,-~]{1,200}")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyFile = Annotated[Path, typer.Option(help="The file with the witness's keys, made by `witness key`.")]
Name = Annotated[str, typer.Option(help="The witness's name, such as partner.example/witness.")]
Logs = Annotated[Path, typer.Option(help="A file with a line `log KEY` for each log that the witness cosigns, or a whole policy.")]
State = Annotated[
    Path, typer.Option(help="The file in which the witness keeps what it cosigned last. It is made when it is needed.")
]


@app.command()
def key(name: Name, key_file: KeyFile, as_json: AsJson = False) -> None:
    """Show the public keys of a witness, for the policies of logs and auditors. Makes the file if it is not there."""
    _named(name)
    with _sentences():
        if not key_file.exists():
            kept_files.create(key_file, log_keys.new_file())
        keys = [each.key.vkey() for each in _own(key_file, name)]
    if as_json:
        print_json({"keys": keys})
        return
    for each in keys:
        out.print(each, markup=False)


@app.command()
def sign(
    submission: Annotated[str, typer.Argument(help="A file with a submission, or - to read it from standard input.")],
    name: Name,
    key_file: KeyFile,
    logs: Logs,
    state: State,
    to: Annotated[Path | None, typer.Option(help="The file for the cosigned checkpoint; default: standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Cosign a checkpoint that continues the last one. The log's operator brings the submission, and takes the cosigned checkpoint back."""
    with _sentences():
        witness = _witness(name, key_file, logs, state)
        given = (sys.stdin.buffer.read() if submission == "-" else Path(submission).read_bytes()).decode("utf-8", errors="replace")
        answer = witness.answer(given)
        cosigned = ipt_verify.read_submission(given).note + answer.body if answer.status == 200 else ""
        if cosigned and to:
            kept_files.replace(to, cosigned)
    if answer.status != 200:
        err.print(_refusal(answer.status, answer.body.strip()), markup=False)
        raise typer.Exit(FAILED)
    if as_json:
        print_json({"checkpoint": cosigned, "cosignatures": answer.body.splitlines()})
    elif to:
        out.print(f"The checkpoint is cosigned. Give {to} to the log's operator.", markup=False)
    else:
        out.print(cosigned, markup=False, end="")


@app.command()
def serve(
    name: Name,
    key_file: KeyFile,
    logs: Logs,
    state: State,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8010,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each submission.")] = False,
) -> None:
    """Cosign checkpoints over HTTP (C2SP tlog-witness) until interrupted. Put a proxy with TLS in front of it."""
    with _sentences():
        witness = _witness(name, key_file, logs, state)
        witness.kept()

    def report(reply: WitnessReply) -> None:
        said = "cosigned" if reply.status == 200 else reply.body.strip()
        if as_json:
            write_json(msgspec.json.encode({"status": reply.status, "said": said}) + b"\n")
        else:
            out.print(f"{reply.status}  {said}", markup=False)
        sys.stdout.flush()

    out.print(f"Listening on http://{host}:{port}/", markup=False)
    sys.stdout.flush()
    with listening(host, port):
        uvicorn.run(
            WitnessServer(witness, report), host=host, port=port, log_config=None, limit_concurrency=CONNECTIONS_MAX, server_header=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip


@app.command()
def show(state: State, as_json: AsJson = False) -> None:
    """Show the last checkpoint that a witness cosigned of each log."""
    with _sentences():
        notes = [ipt_verify.read_checkpoint(note.text) for note in witness_state.read_state(state).values()]
    if as_json:
        print_json([{"origin": each.origin, "size": each.size, "root": ipt_verify.encoded(each.root)} for each in notes])
        return
    print_table(("log", "size", "root"), [(each.origin, each.size, ipt_verify.encoded(each.root)) for each in notes])


def _witness(name: str, key_file: Path, logs: Path, state: Path) -> Witness:
    _named(name)
    try:
        known = witness_state.read_logs(logs.read_text(encoding="utf-8"))
    except NotProved as error:
        usage(f"{logs}: {error}")
    return Witness(_own(key_file, name), known, state, SystemClock())


def _own(key_file: Path, name: str) -> tuple[CheckpointSigner, ...]:
    return log_keys.of_witness(key_file.read_text(encoding="utf-8"), name)


def _named(name: str) -> None:
    if not _NAME.fullmatch(name):
        usage("--name must have 1 to 200 characters of ASCII, without blanks and +, such as partner.example/witness.")


def _refusal(status: int, reason: str) -> str:
    if status == 409:
        return f"This witness has cosigned the log up to size {reason}. Ask the log's operator for a submission from there."
    return f"The checkpoint is not cosigned. {reason}"


@contextmanager
def _sentences() -> Iterator[None]:
    """Around work with the witness's files: if it fails, prints why and exits 1."""
    try:
        yield
    except IptError as error:
        fail(error)
    except UnicodeDecodeError:
        err.print("A file of the witness is not UTF-8.", markup=False)
        raise typer.Exit(FAILED) from None
