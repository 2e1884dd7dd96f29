"""Every command, by name."""

from typing import Annotated

import typer

from ipt_workflow.cli import (
    access,
    audit,
    client,
    course,
    database,
    emergency,
    erasure,
    group,
    launch,
    log,
    mark,
    organisation,
    passkey,
    person,
    proposal,
    protocol,
    retention,
    source,
    system,
    token,
    witness,
)
from ipt_workflow.cli.course import import_file
from ipt_workflow.cli.database import demo
from ipt_workflow.cli.output import listening, settings_or_exit
from ipt_workflow.cli.relay import receive, relay
from ipt_workflow.cli.sandbox import sandbox

app = typer.Typer(
    name="ipt-workflow",
    help="Runs courses of Interpersonal Psychotherapy as explicit, enforced and audited state machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(database.app, name="db")
app.add_typer(organisation.app, name="organisation")
app.add_typer(token.app, name="token")
app.add_typer(person.app, name="person")
app.add_typer(passkey.app, name="passkey")
app.add_typer(source.app, name="source")
app.add_typer(system.app, name="system")
app.add_typer(launch.app, name="launch")
app.add_typer(protocol.app, name="protocol")
app.add_typer(course.app, name="course")
app.add_typer(client.app, name="client")
app.add_typer(proposal.app, name="proposal")
app.add_typer(group.app, name="group")
app.add_typer(access.cover, name="cover")
app.add_typer(access.restriction, name="restriction")
app.add_typer(emergency.app, name="emergency")
app.add_typer(audit.app, name="audit")
app.add_typer(log.app, name="log")
app.add_typer(mark.app, name="mark")
app.add_typer(retention.app, name="retention")
app.add_typer(witness.app, name="witness")
client.app.command("erase")(erasure.erase)
client.app.command("erasures")(erasure.erasures)
app.command("import")(import_file)
app.command("demo")(demo)
app.command("sandbox")(sandbox)
app.command("relay")(relay)
app.command("receive")(receive)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; default: IPT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port to listen on; default: IPT_PORT.")] = None,
) -> None:
    """Serve the HTTP API, and deliver webhooks unless IPT_RELAY is false."""
    settings = settings_or_exit()
    from ipt_workflow.cli import server  # noqa: PLC0415 - no other command needs the web framework, which takes as long to load as all the rest

    address, number = host or settings.host, settings.port if port is None else port
    with listening(address, number):
        server.serve(settings, address, number)
