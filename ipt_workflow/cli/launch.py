"""`launch`: the EHRs that may open courses (SMART App Launch)."""

from pathlib import Path
from typing import Annotated

import typer

from ipt_workflow.cli.output import of_options, out, print_json, print_table, run
from ipt_workflow.cli.source import read_secret
from ipt_workflow.cli.token import operator
from ipt_workflow.ehr.smart.launchers import Launchers, NewLauncher

app = typer.Typer(help="EHRs that may open courses.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Iss = Annotated[str, typer.Argument(help="The URL of the EHR's FHIR server, which it sends as iss.")]


@app.command()
def add(
    iss: Iss,
    client_id: Annotated[str, typer.Option(help="The name by which the EHR knows this service.")],
    secret_file: Annotated[
        Path | None, typer.Option(help="A file with the secret that the EHR gave. Without it, this service has a key of its own.")
    ] = None,
    client_prefix: Annotated[str, typer.Option(help="The prefix that makes a FHIR Patient's id a client reference.")] = "",
    knows_persons: Annotated[
        bool, typer.Option("--knows-persons", help="The id of a Practitioner there is the person's id here.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let an EHR open courses. Repeat it to change what is known of the EHR."""
    values = {"iss": iss, "client_id": client_id, "secret": read_secret(secret_file)}
    new = of_options(NewLauncher, {**values, "client_prefix": client_prefix, "knows_persons": knows_persons})
    made = run(lambda clinic: Launchers(clinic).add(operator(), lambda: new))
    if as_json:
        print_json(made)
    else:
        out.print(f"{made.iss} may open courses. It knows this service as {made.client_id} ({made.authentication}).", markup=False)


@app.command("list")
def list_launchers(as_json: AsJson = False) -> None:
    """List the EHRs that may open courses, without secrets."""
    found = run(lambda clinic: Launchers(clinic).every(operator()))
    if as_json:
        print_json(found)
        return
    rows = [
        (each.iss, each.client_id, each.authentication, each.client_prefix, "knows persons" if each.knows_persons else "")
        for each in found
    ]
    print_table(("iss", "client_id", "authentication", "prefix", ""), rows)


@app.command()
def remove(iss: Iss, as_json: AsJson = False) -> None:
    """Let an EHR open no more courses. Sessions that it began go on until they end."""
    run(lambda clinic: Launchers(clinic).remove(operator(), iss))
    if as_json:
        print_json({"iss": iss, "removed": True})
    else:
        out.print(f"{iss} may open no more courses.", markup=False)
