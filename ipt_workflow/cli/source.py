"""`source`: registers the EHR systems that may send notices. A new secret is shown once."""

from pathlib import Path
from typing import Annotated

import typer

from ipt_workflow.cli.output import fail, of_options, out, print_json, print_table, run, usage
from ipt_workflow.cli.token import operator
from ipt_workflow.ehr.notices.sources import (
    OVERLAP_HOURS,
    OVERLAP_HOURS_MAX,
    NewSource,
    ShownKey,
    SourceChange,
    SourceRotation,
    Sources,
    SourceView,
)
from ipt_workflow.errors import CommandInvalid, Fault

SECRET_BYTES_MAX = 1024
app = typer.Typer(help="EHR systems that may send notices.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Kind = Annotated[
    str, typer.Option(help="How its messages are authenticated: standard-webhooks, x-signature (Medplum) or bearer (HAPI).")
]
SecretFile = Annotated[
    Path | None, typer.Option(help="A file with the EHR's own secret or its public whpk_ key. Without it, a secret is made.")
]
OtherVisits = Annotated[
    str | None, typer.Option(help="What becomes of a visit that nothing marks as IPT: wait (a person decides) or ignore.")
]
SourceId = Annotated[str, typer.Argument(help="The source's name, as in the address that it sends to.")]


@app.command()
def add(
    name: SourceId,
    kind: Kind = "standard-webhooks",
    secret_file: SecretFile = None,
    names_persons: Annotated[
        bool, typer.Option("--names-persons", help="Trust this EHR to name the person who did something.")
    ] = False,
    all_visits: Annotated[bool, typer.Option("--all-visits", help="Every visit that it sends belongs to IPT.")] = False,
    other_visits: OtherVisits = "wait",
    client_prefix: Annotated[str, typer.Option(help="The prefix that makes a FHIR Patient's id a client reference.")] = "",
    as_json: AsJson = False,
) -> None:
    """Register an EHR with its first key."""
    values = {
        "id": name,
        "kind": kind,
        "secret": read_secret(secret_file),
        "names_persons": names_persons,
        "all_visits": all_visits,
        "other_visits": other_visits,
        "client_prefix": client_prefix,
    }
    new = of_options(NewSource, values)
    _show_key(run(lambda clinic: Sources(clinic).add(operator(), lambda: new)), as_json=as_json)


@app.command("list")
def list_sources(as_json: AsJson = False) -> None:
    """List sources with their settings and keys, without the secrets."""
    found = run(lambda clinic: Sources(clinic).page(operator()))
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.id,
            ", ".join(key.kind for key in each.keys),
            _settings(each),
            f"{each.created_at:%Y-%m-%d}",
            "disabled" if each.disabled_at else "",
        )
        for each in found
    ]
    print_table(("source", "keys", "settings", "since", ""), rows)


@app.command("set")
def change(
    name: SourceId,
    names_persons: Annotated[
        bool | None, typer.Option("--names-persons/--no-names-persons", help="Trust this EHR to name the person who did something.")
    ] = None,
    all_visits: Annotated[
        bool | None, typer.Option("--all-visits/--no-all-visits", help="Every visit that it sends belongs to IPT.")
    ] = None,
    other_visits: OtherVisits = None,
    as_json: AsJson = False,
) -> None:
    """Change a source's settings from now on."""
    options = {"names_persons": names_persons, "all_visits": all_visits, "other_visits": other_visits}
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        usage("Name a setting to change: --names-persons, --all-visits or --other-visits.")
    body = of_options(SourceChange, given)
    changed = run(lambda clinic: Sources(clinic).change(operator(), name, lambda: body))
    if as_json:
        print_json(changed)
    else:
        out.print(f"{changed.id}: {_settings(changed)}", markup=False)


@app.command()
def rotate(
    name: SourceId,
    kind: Annotated[str | None, typer.Option(help="The new key's kind. Without it, the kind of the newest key.")] = None,
    secret_file: SecretFile = None,
    overlap_hours: Annotated[int, typer.Option(help="How long the old keys of this kind stay valid.")] = OVERLAP_HOURS,
    as_json: AsJson = False,
) -> None:
    """Give a source a new key."""
    if not 0 <= overlap_hours <= OVERLAP_HOURS_MAX:
        usage(f"--overlap-hours must be from 0 to {OVERLAP_HOURS_MAX}.")
    values = {"kind": kind, "secret": read_secret(secret_file), "overlap_hours": overlap_hours}
    body = of_options(SourceRotation, values)
    _show_key(run(lambda clinic: Sources(clinic).rotate(operator(), name, lambda: body)), as_json=as_json)


@app.command()
def disable(name: SourceId, as_json: AsJson = False) -> None:
    """Refuse everything from a source from now on."""
    _show_switched(run(lambda clinic: Sources(clinic).disable(operator(), name)), "disabled", as_json=as_json)


@app.command()
def enable(name: SourceId, as_json: AsJson = False) -> None:
    """Accept notices from a disabled source again."""
    _show_switched(run(lambda clinic: Sources(clinic).enable(operator(), name)), "enabled", as_json=as_json)


def _settings(source: SourceView) -> str:
    """The settings in the words of their options."""
    flags = {"names-persons": source.names_persons, "all-visits": source.all_visits}
    return ", ".join([*(name for name, on in flags.items() if on), f"other-visits {source.other_visits}"])


def read_secret(path: Path | None) -> str | None:
    """The secret in the file of `--secret-file`. Exits 1 if it cannot be read."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return file.read(SECRET_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        fail(CommandInvalid([Fault("--secret-file", "must name a readable ASCII file that holds one secret")]))


def _show_key(made: ShownKey, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    if made.secret:
        out.print(made.secret, markup=False)
        out.print(f"The key of {made.source.id}. It is not shown again.", markup=False)
    else:
        out.print(f"{made.source.id} is authenticated by the key that you gave.", markup=False)


def _show_switched(source: SourceView, word: str, *, as_json: bool) -> None:
    if as_json:
        print_json(source)
    else:
        out.print(f"{source.id} is {word}.", markup=False)
