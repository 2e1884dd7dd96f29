"""Printing (JSON for programs, tables for people, errors on standard error), and opening the service for one command."""

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ipt_workflow.errors import CommandInvalid, GroupRefused, GroupSessionRefused, IptError, Refusal, Remedy, TransitionRefused
from ipt_workflow.runtime import event_loop, logs
from ipt_workflow.runtime.clock import SandboxClock
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings, load
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.values.faults import schema_faults

Result = TypeVar("Result")
Shape = TypeVar("Shape", bound=msgspec.Struct)
FAILED, USAGE = 1, 2
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def settings_or_exit(*, sandbox: bool = False) -> Settings:
    """The settings. If they are not valid, prints their faults and exits 2."""
    try:
        settings = load()
    except IptError as error:
        fail(error, code=USAGE)
    logs.configure(settings.log_format, settings.log_level, sandbox=sandbox)
    return settings


def run(work: Callable[[Clinic], Awaitable[Result]]) -> Result:
    """Opens the service, runs the work and closes the service."""
    settings = settings_or_exit()

    async def opened() -> Result:
        clinic = await open_clinic(settings)
        collect_seldom()
        if isinstance(clinic.clock, SandboxClock):
            err.print(f"This database is a sandbox. Its clock shows {clinic.clock.now():%Y-%m-%dT%H:%M:%SZ}.", markup=False)
        try:
            return await work(clinic)
        finally:
            await clinic.installation.close()

    return complete(opened())


def complete(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs the work to its end. On a refusal or an error, prints it and exits 1."""
    try:
        with event_loop.runner() as runner:
            return runner.run(work)
    except IptError as error:
        fail(error)


def fail(error: IptError, code: int = FAILED) -> NoReturn:
    """Prints the error and exits."""
    if isinstance(error, TransitionRefused):
        err.print(f"[bold]{error.summary}[/bold] (state {error.state}, version {error.version})", markup=True)
        print_refusals(error.refusals)
    elif isinstance(error, GroupRefused):
        err.print(str(error), markup=False)
        print_refusals(error.refusals)
    elif isinstance(error, GroupSessionRefused):
        err.print(str(error), markup=False)
        for member in error.members:
            err.print(f"{member.course} ({member.state}, version {member.version}):", markup=False)
            print_refusals(member.refusals)
    else:
        err.print(str(error), markup=False)
    raise typer.Exit(code)


def print_refusals(refusals: Iterable[Refusal]) -> None:
    for refusal in refusals:
        err.print(f"  {refusal.rule} ({refusal.severity}): {refusal.message}", markup=False)
        err.print(f"    is: {words(refusal.current)}; must be: {words(refusal.required)}", markup=False)
        for late in refusal.breaks or ():
            for broken in late.refusals:
                err.print(f"    {late.seq} {late.trigger}: {broken.rule}: {broken.message}", markup=False)
        for remedy in refusal.remedies:
            err.print(f"    try: {remedy.trigger} ({' or '.join(remedy.roles)}){_how(remedy)}", markup=False)


def _how(remedy: Remedy) -> str:
    """How a remedy is fired, where it is not simply fired."""
    data = f" with {words(remedy.data)}" if remedy.data else ""
    course = " on the client's other course" if remedy.course else ""
    return data + course + {None: "", "proposal": " as a proposal", "together": " together with this command"}[remedy.via]


def shaped(struct: type[Shape], fields: Any) -> Shape:
    """The fields as a Struct. Raises CommandInvalid with every fault."""
    try:
        return msgspec.convert(fields, struct)
    except msgspec.ValidationError as error:
        raise CommandInvalid(schema_faults(struct, fields, "", str(error))) from None


def usage(message: str) -> NoReturn:
    err.print(message, markup=False)
    raise typer.Exit(USAGE)


def words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    out.print(table)


def bar() -> Progress:
    """A progress bar on standard error. It stays hidden if that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
