"""`proposal`: commands that wait for a supervisor, without a server. The verbs are those of `/v1/proposals`."""

from typing import Annotated

import typer

from ipt_workflow.cli.course import As, AsJson, caller, operator_as_auditor, run_as
from ipt_workflow.cli.output import err, out, print_json, print_refusals, print_table, run
from ipt_workflow.service.proposals import NewReturn, Proposals
from ipt_workflow.service.views import Committed, ProposalReview, ProposalView
from ipt_workflow.values.faults import shaped

app = typer.Typer(help="Proposals: commands that wait for a supervisor.", no_args_is_help=True)
ProposalId = Annotated[str, typer.Argument(help="The proposal's id.")]
LIMIT_MAX = 1000


@app.command("list")
def list_proposals(
    status: Annotated[str | None, typer.Option(help="Only waiting, returned, cosigned, declined or lapsed proposals.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="The most proposals to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List proposals, oldest first."""
    found: list[ProposalView] = run(lambda clinic: Proposals(clinic).page(operator_as_auditor(), status, "", limit))
    if as_json:
        print_json(found)
        return
    rows = [(each.id, each.course, each.trigger, each.status, each.reason, each.proposed_by, len(each.since)) for each in found]
    print_table(("proposal", "course", "trigger", "status", "reason", "proposed by", "entries since"), rows)


@app.command()
def show(proposal_id: ProposalId, as_json: AsJson = False) -> None:
    """Show a proposal, what was recorded since, and why it would be refused now."""
    found: ProposalReview = run(lambda clinic: Proposals(clinic).one(operator_as_auditor(), proposal_id))
    if as_json:
        print_json(found)
        return
    proposal = found.proposal
    status = f"{proposal.status}, {proposal.reason}" if proposal.reason else proposal.status
    out.print(f"{proposal.id}  {proposal.trigger} on {proposal.course} by {proposal.proposed_by}: {status}", markup=False)
    if proposal.since:
        rows = [(each.seq, each.trigger, each.occurred_at.isoformat(), each.person) for each in proposal.since]
        print_table(("entry", "trigger", "when", "by"), rows)
    if found.refusals:
        err.print("It would be refused now:", markup=False)
        print_refusals(found.refusals)


@app.command()
def cosign(
    proposal_id: ProposalId,
    person: As,
    version: Annotated[int | None, typer.Option(help="The course's version that you saw; default: the present one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Cosign a proposal as a supervisor, which fires its command."""
    principal = caller(person, "supervisor")
    done: Committed = run_as(principal, lambda clinic: Proposals(clinic).cosign(principal, proposal_id, version=version))
    if as_json:
        print_json({"entry": done.entries[-1], "course": done.course})
        return
    entry = done.entries[-1]
    out.print(f"{entry.seq} {entry.trigger}: {entry.from_} -> {entry.to}", markup=False)


@app.command()
def decline(proposal_id: ProposalId, person: As, as_json: AsJson = False) -> None:
    """Decline a proposal as a supervisor."""
    principal = caller(person, "supervisor")
    _print_closed(run_as(principal, lambda clinic: Proposals(clinic).decline(principal, proposal_id)), as_json=as_json)


@app.command("return")
def send_back(
    proposal_id: ProposalId, comment: Annotated[str, typer.Argument(help="What to revise.")], person: As, as_json: AsJson = False
) -> None:
    """Return a proposal to its proposer for revision, as a supervisor."""
    principal = caller(person, "supervisor")

    def decode() -> NewReturn:
        return shaped(NewReturn, {"comment": comment})

    _print_closed(run_as(principal, lambda clinic: Proposals(clinic).send_back(principal, proposal_id, decode)), as_json=as_json)


def _print_closed(closed: ProposalView, *, as_json: bool) -> None:
    if as_json:
        print_json(closed)
        return
    out.print(f"{closed.id}: {closed.status}", markup=False)
