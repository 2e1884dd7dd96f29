"""`protocol`: the protocols in the files under config/."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ipt_workflow import gate
from ipt_workflow.cli import protocol_versions
from ipt_workflow.cli.output import bar, fail, out, print_json, settings_or_exit, usage
from ipt_workflow.cli.process import FAILED
from ipt_workflow.course import transitions_table
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.errors import IptError, ProtocolInvalid
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols.definition import PhaseSpec, Protocol
from ipt_workflow.protocols.files import Catalogue, load_catalogue

app = typer.Typer(help="Protocols.", no_args_is_help=True)
app.command("migrate")(protocol_versions.migrate)
app.command("replay")(protocol_versions.replay)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="A protocol, such as ipt or ipt@1.")]


def _catalogue() -> Catalogue:
    settings = settings_or_exit()
    try:
        return load_catalogue(settings.protocols, settings.instruments, KNOWN_RULES)
    except IptError as error:
        fail(error)


def _find(name: str) -> Protocol:
    catalogue = _catalogue()
    protocol_id, _, version = name.partition("@")
    try:
        return catalogue.get(protocol_id, int(version) if version else None)
    except (KeyError, ValueError):
        usage(f"There is no protocol {name}. Choose one of {', '.join(each.key for each in catalogue.protocols.values())}.")


@app.command("list")
def list_protocols(as_json: AsJson = False) -> None:
    """List protocols with their bounds."""
    known = [protocol for _, protocol in sorted(_catalogue().protocols.items())]
    if as_json:
        print_json([_outline(protocol) for protocol in known])
        return
    for protocol in known:
        given = (
            protocol.format
            if protocol.provider == "mental_health_clinician"
            else f"{protocol.format}, by supervised non-specialists"
        )
        phases = " / ".join(_bounds(phase) for phase in protocol.phases)
        out.print(f"{protocol.key}  {protocol.title}", markup=False, style="bold")
        out.print(f"  for {', '.join(protocol.indications)}; ages {protocol.ages}; {given}", markup=False)
        out.print(
            f"  {protocol.contract.sessions} sessions ({phases}) in {protocol.contract.weeks} weeks; sick role {protocol.sick_role.mode}",
            markup=False,
        )


def _outline(protocol: Protocol) -> dict[str, Any]:
    """A protocol's bounds, without its rules and evidence."""
    return {
        "id": protocol.id,
        "version": protocol.version,
        "title": protocol.title,
        "indications": protocol.indications,
        "format": protocol.format,
        "provider": protocol.provider,
        "ages": protocol.ages,
        "acute": protocol.acute,
        "contract": {"sessions": protocol.contract.sessions, "weeks": protocol.contract.weeks},
        "phases": [
            {"id": phase.id, "sessions_min": phase.sessions_min, "sessions_max": phase.sessions_max} for phase in protocol.phases
        ],
        "sick_role": protocol.sick_role.mode,
        "areas": protocol.focus.areas,
        "digest": protocol.digest,
    }


def _bounds(phase: PhaseSpec) -> str:
    if phase.sessions_max is None:
        return f"{phase.sessions_min}-"
    return str(phase.sessions_min) if phase.sessions_min == phase.sessions_max else f"{phase.sessions_min}-{phase.sessions_max}"


@app.command()
def lint(
    files: Annotated[list[Path] | None, typer.Argument(help="Protocol files; default: those in force.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check protocol files and name every fault. Prove or refute the claims that every course must keep."""
    settings = settings_or_exit()
    try:
        protocols = load_catalogue(files or settings.protocols, settings.instruments, KNOWN_RULES).protocols.values()
    except ProtocolInvalid as error:
        if not as_json:
            fail(error)
        print_json({"ok": False, "protocols": [], "faults": error.faults})
        raise typer.Exit(FAILED) from error
    reports = []
    with bar() as progress:
        for protocol in progress.track(protocols, description="Exploring"):
            began = time.perf_counter()
            report = gate.examine(CourseMachine(protocol))
            reports.append((report, time.perf_counter() - began))
            if not as_json:
                _print_report(*reports[-1])
    ok = all(report.ok for report, _ in reports)
    if as_json:
        print_json({"ok": ok, "protocols": [_examined(*each) for each in reports], "faults": []})
    if not ok:
        raise typer.Exit(FAILED)


def _print_report(report: gate.GateReport, seconds: float) -> None:
    """Prints a line for the protocol and one for each claim: it holds, or the finding that refutes it with its trace."""
    refuted = sum(bool(report.of(claim)) for claim in gate.CLAIMS)
    verdict = (
        f"{refuted} of {len(gate.CLAIMS)} claims do not hold" if refuted else f"no faults, and all {len(gate.CLAIMS)} claims hold"
    )
    if report.cut_off and not refuted:
        verdict = "nothing is proved: the protocol allows more courses than the search covers"
    out.print(f"{report.protocol}: {verdict} ({report.courses} courses, {report.tried} triggers, {seconds:.1f} s)", markup=False)
    for claim in gate.CLAIMS:
        if not report.of(claim):
            out.print(f"  {claim}: {'not refuted' if report.cut_off else 'holds'}", markup=False)
        for finding in report.of(claim):
            out.print(f"  {claim}: {finding.why}", markup=False)
            if finding.trace:
                out.print(f"    by: {' → '.join(finding.trace)}", markup=False)


def _examined(report: gate.GateReport, seconds: float) -> dict[str, Any]:
    return {
        "protocol": report.protocol,
        "ok": report.ok,
        "claims": [{"claim": claim, "says": says, "holds": report.holds(claim)} for claim, says in gate.CLAIMS.items()],
        "findings": report.findings,
        "courses": report.courses,
        "tried": report.tried,
        "cut_off": report.cut_off,
        "seconds": round(seconds, 3),
    }


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:  # noqa: ARG001 - the definition is JSON with or without it
    """Show a protocol's definition and digest, as JSON."""
    protocol = _find(name)
    print_json({"digest": protocol.digest, "definition": protocol.source})


@app.command()
def diagram(name: Name = "ipt", as_json: AsJson = False) -> None:
    """Print a protocol's diagram as Mermaid text, drawn from the machine."""
    protocol = _find(name)
    mermaid = transitions_table.diagram(protocol)
    if as_json:
        print_json({"protocol": protocol.key, "mermaid": mermaid})
    else:
        out.print(mermaid, markup=False)
