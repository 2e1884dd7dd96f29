"""`log`: the keys that sign an organisation's log, its checkpoints, and what to do after an older database was put back."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ipt_workflow.cli.course import operator_as_auditor
from ipt_workflow.cli.output import bar, err, out, print_json, run
from ipt_workflow.cli.process import FAILED
from ipt_workflow.cli.token import operator
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.journal.proof.ipt_verify import Checkpoint
from ipt_workflow.runtime import kept_files
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints, LogView, key_file_of
from ipt_workflow.service.audit.log_exports import LogExports
from ipt_workflow.service.audit.log_keys import KeyFileInvalid
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.sandbox import refuse_sandbox
from ipt_workflow.store.checkpoints import StoredOrigin

app = typer.Typer(help="The log, and its checkpoints.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class LogKeys(msgspec.Struct, frozen=True):
    """The public keys of a log."""

    origin: str
    keys: tuple[str, ...]


@app.command()
def key(
    add: Annotated[bool, typer.Option("--add", help="Add a new key of each kind. The log signs with all of them.")] = False,
    remove: Annotated[str | None, typer.Option(help="Remove the key with this id, once everybody knows the new ones.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the public keys of the log, for the policies of auditors and witnesses. Makes IPT_LOG_KEY_FILE if it is not there."""

    async def work(clinic: Clinic) -> LogView:
        path = key_file_of(clinic.settings)
        try:
            if not path.exists():
                kept_files.create(path, log_keys.new_file())
            elif add:
                kept_files.replace(path, log_keys.with_new_keys(path.read_text(encoding="utf-8")))
            if remove:
                origin = (await Checkpoints(clinic).show()).origin
                kept_files.replace(path, log_keys.without_key(path.read_text(encoding="utf-8"), origin, remove))
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileInvalid(
                f"IPT_LOG_KEY_FILE: the file cannot be used: {getattr(error, 'strerror', 'it is not text')}."
            ) from None
        return await Checkpoints(clinic).show()

    shown = run(work)
    if as_json:
        print_json(LogKeys(shown.origin, shown.keys))
        return
    for each in shown.keys:
        out.print(each, markup=False)


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show how the log stands: its origin, its size, its newest checkpoint, and why it is not signed, if it is not. Then exits 1."""
    shown = run(lambda clinic: Checkpoints(clinic).show())
    if as_json:
        print_json(shown)
    else:
        _print(shown)
    if shown.refused:
        if not as_json:
            err.print(shown.refused, markup=False)
        raise typer.Exit(FAILED)


@app.command()
def sign(as_json: AsJson = False) -> None:
    """Give positions to all that waits, and sign the log now. `serve` does it each minute."""

    async def work(clinic: Clinic) -> LogView:
        refuse_sandbox(clinic)
        await fan_out.bring_up_to_date(clinic)
        checkpoints = Checkpoints(clinic)
        await checkpoints.sign()
        return await checkpoints.show()

    shown = run(work)
    if as_json:
        print_json(shown)
        return
    _print(shown)


@app.command()
def export(
    to: Annotated[Path, typer.Option(help="The file to write, a ZIP.")],
    texts: Annotated[
        bool, typer.Option("--texts", help="With sealed texts, as far as auditors of the organisation read them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the whole log to a file that `ipt_verify.py` verifies without this service. It is signed first, and witnesses are asked."""

    async def work(clinic: Clinic) -> Checkpoint:
        await fan_out.bring_up_to_date(clinic)
        total = (await Checkpoints(clinic).show()).size if clinic.settings.log_key_file else None
        calls = Calls(reach_of(clinic.settings))
        try:
            with bar() as progress, beside.open("wb") as target:
                task = progress.add_task("positions", total=total)
                return await LogExports(clinic, calls).write(
                    operator_as_auditor(),
                    target,
                    texts=texts,
                    unsigned=lambda why: err.print(why, markup=False),
                    progress=lambda done: progress.advance(task, done),
                )
        finally:
            await calls.close()

    beside = to.with_name(to.name + ".part")
    try:
        checkpoint = run(work)
        beside.replace(to)
    except OSError as error:
        err.print(f"--to {to}: the file cannot be written: {error.strerror}.", markup=False)
        raise typer.Exit(FAILED) from None
    finally:
        beside.unlink(missing_ok=True)
    if as_json:
        print_json({"origin": checkpoint.origin, "size": checkpoint.size, "file": str(to)})
        return
    out.print(f"{to}: {checkpoint.size} leaves of {checkpoint.origin}. Verify it with ipt_verify.py, not here.", markup=False)


@app.command()
def resume(
    reason: Annotated[str, typer.Option(help="Why the log does not continue: it is kept for ever, so name no client.")],
    as_json: AsJson = False,
) -> None:
    """Begin a new origin after an older database was put back. What was lost is recorded, and every verifier reports it."""

    async def work(clinic: Clinic) -> StoredOrigin:
        refuse_sandbox(clinic)
        begun = await Checkpoints(clinic).resume(operator(), reason)
        await fan_out.bring_up_to_date(clinic)
        await Checkpoints(clinic).sign()
        return begun

    begun = run(work)
    if as_json:
        print_json(begun)
        return
    out.print(f"The log goes on as {begun.origin}.", markup=False)
    out.print(f"Of the positions from {begun.kept_size} to before {begun.lost_size}, some or all are lost.", markup=False)


def _print(shown: LogView) -> None:
    out.print(f"{shown.origin}: {shown.size} leaves.", markup=False)
    if shown.checkpoint:
        out.print(shown.checkpoint.rstrip("\n"), markup=False)
    else:
        out.print("No checkpoint yet.", markup=False)
