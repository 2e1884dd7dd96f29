"""`witness` from the log's side: who cosigns it, asking them at once, and the files that somebody carries to one and back."""

from pathlib import Path
from typing import Annotated

import typer

from ipt_workflow.cli.output import err, out, print_json, print_table, run
from ipt_workflow.cli.process import FAILED
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.runtime import kept_files
from ipt_workflow.service.audit.witnesses import SubmissionOutcome, Witnesses, WitnessReport
from ipt_workflow.service.clinic import Clinic

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_witnesses(as_json: AsJson = False) -> None:
    """List the witnesses of the log, and how far each has cosigned it. They stand in the file of IPT_LOG_POLICY_FILE."""
    found: WitnessReport = run(lambda clinic: Witnesses(clinic).report(), reads_only=True)
    if as_json:
        print_json(found)
        return
    rows = [
        (each.witness, each.address or "by files", each.size, f"{each.at:%Y-%m-%d %H:%M}" if each.at else "never")
        for each in found.witnesses
    ]
    print_table(("witness", "address", "size", "at"), rows)
    out.print(
        f"The newest checkpoint has size {found.size}." if found.size is not None else "There is no checkpoint yet.", markup=False
    )
    if found.unwitnessed_seconds:
        out.print(f"The quorum has been missing for {found.unwitnessed_seconds:.0f} seconds.", markup=False)


def submit(as_json: AsJson = False) -> None:
    """Ask every witness with an address to cosign the newest checkpoint now. The service does it each minute."""

    async def work(clinic: Clinic) -> list[SubmissionOutcome]:
        calls = Calls(reach_of(clinic.settings))
        try:
            return await Witnesses(clinic, calls).submit()
        finally:
            await calls.close()

    found = run(work)
    if as_json:
        print_json(found)
    elif not found:
        out.print("No witness is to be asked: none has an address, or all have cosigned the newest checkpoint.", markup=False)
    for each in () if as_json else found:
        (err if each.reason else out).print(f"{each.witness}: {each.reason or f'cosigned size {each.size}.'}", markup=False)
    if any(each.reason for each in found):
        raise typer.Exit(FAILED)


def request(
    witness: Annotated[str, typer.Argument(help="The witness's name in the policy.")],
    to: Annotated[Path, typer.Option(help="The file for the submission.")],
    size: Annotated[
        int | None, typer.Option("--from", min=0, help="The size that the witness cosigned last; default: as far as is known here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a submission for a witness to whom somebody carries it. The witness runs `witness sign`."""

    async def work(clinic: Clinic) -> tuple[int, str]:
        made = await Witnesses(clinic).request(witness, size)
        return made.old_size, str(made)

    old, text = run(work, reads_only=True)
    kept_files.replace(to, text)
    if as_json:
        print_json({"witness": witness, "from": old, "file": str(to)})
    else:
        out.print(f"{to} continues size {old}. Bring it to {witness}, and what it gives back to `witness take`.", markup=False)


def take(
    file: Annotated[Path, typer.Argument(help="The cosigned checkpoint that the witness gave back.")], as_json: AsJson = False
) -> None:
    """Keep a cosigned checkpoint that somebody brought back."""
    text = file.read_bytes().decode("utf-8", errors="replace")
    found = run(lambda clinic: Witnesses(clinic).take(text))
    if as_json:
        print_json({"witnesses": found})
    else:
        out.print(f"The cosignatures of {', '.join(found)} are kept.", markup=False)
