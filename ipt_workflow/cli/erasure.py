"""`client erase` and `client erasures`: erasing without a server. The verbs are those of `/v1/erasures`."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ipt_workflow.access.erasure import KINDS, NewErasure
from ipt_workflow.cli.course import AsJson, DryRun, caller, operator_as_auditor, run_as
from ipt_workflow.cli.output import fail, of_options, out, print_json, print_table, run, usage
from ipt_workflow.errors import CommandMalformed
from ipt_workflow.service.privacy.erasures import Erasures, ErasureView, RegisterLine

LIMIT_MAX = 100_000


def erase(
    client_ref: Annotated[str | None, typer.Argument(help="The EHR's reference of the client, exactly.")] = None,
    person: Annotated[str, typer.Option("--as", help="The person who acts; the register names them.")] = "",
    role: Annotated[str, typer.Option("--role", help="admin or supervisor.")] = "admin",
    ground: Annotated[
        str | None,
        typer.Option(help="no_longer_needed, consent_withdrawn, objection, unlawful, legal_obligation, retention or national_law."),
    ] = None,
    course: Annotated[str | None, typer.Option(help="With --seq, and without a client: the course of the entry.")] = None,
    seq: Annotated[int | None, typer.Option(help="The entry whose text alone is erased.")] = None,
    again: Annotated[bool, typer.Option("--again", help="After a restore: repeat what the register says.")] = False,
    register: Annotated[
        Path | None, typer.Option(help="With --again: also a register kept apart, as `client erasures --json` printed it.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Erase a client, or the text of one entry. Print what went, and what remains and why. It cannot be taken back."""
    principal = caller(person, role)
    if again:
        if dry_run or client_ref or course or seq or ground:
            usage("--again takes no client, entry, ground or --dry-run: they are in the register.")
        kept = _register(register) if register else ()
        done = run_as(principal, lambda clinic: Erasures(clinic).again(principal, lambda: kept))
        if as_json:
            print_json(done)
            return
        out.print(f"{len(done)} erasures repeated.", markup=False)
        print_table(("erasure", "repeats", "client"), [(each.id, each.again_of, each.client) for each in done])
        return
    if register:
        usage("--register belongs to --again.")
    given = {"client_ref": client_ref, "course": course, "seq": seq, "ground": ground}
    new = of_options(NewErasure, {name: value for name, value in given.items() if value is not None})
    found = run_as(principal, lambda clinic: Erasures(clinic).erase(principal, lambda: new, dry_run=dry_run))
    _print(found, as_json)


def erasures(
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="The most to list.")] = LIMIT_MAX, as_json: AsJson = False
) -> None:
    """List the register of erasures, oldest first. Keep what --json prints apart from the database."""
    found = run(lambda clinic: Erasures(clinic).page(operator_as_auditor(), "", limit))
    if as_json:
        print_json(found)
        return
    rows = [(each.id, each.erased_at.isoformat(), each.person, each.ground, each.client, each.seq) for each in found]
    print_table(("erasure", "at", "by", "ground", "client", "entry"), rows)


def _register(path: Path) -> tuple[RegisterLine, ...]:
    """The lines of a register in a file. If it is none, prints why and exits."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[RegisterLine, ...])
    except OSError:
        fail(CommandMalformed(f"{path} cannot be read."))
    except (msgspec.DecodeError, UnicodeDecodeError):
        fail(CommandMalformed(f"{path} is not what `client erasures --json` prints."))


def _print(found: ErasureView, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    out.print(f"{'It would remove' if found.dry_run else 'Removed'} ({found.means}):", markup=False)
    print_table(("what", "how many"), [(KINDS[kind], count) for kind, count in found.counts.items()])
    out.print("What remains, and why:", markup=False)
    for each in found.remains:
        out.print(f"- {each.what}: {each.why}", markup=False)
