"""Printing (JSON for programs, tables for people, errors on standard error), and opening the service for one command."""

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ipt_workflow.cli.process import FAILED, USAGE
from ipt_workflow.errors import CommandInvalid, GroupRefused, GroupSessionRefused, IptError, Refusal, Remedy, TransitionRefused
from ipt_workflow.runtime import event_loop, logs
from ipt_workflow.runtime.clock import SandboxClock
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings, load
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.identities import LENGTH_MAX, identity_fault, is_identity

Result = TypeVar("Result")
Shape = TypeVar("Shape", bound=msgspec.Struct)
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


def run(work: Callable[[Clinic], Awaitable[Result]], *, reads_only: bool = False) -> Result:
    """Opens the service, runs the work and closes the service. Work that `reads_only` runs on a database that can only be read too."""
    settings = settings_or_exit()

    async def opened() -> Result:
        clinic = await open_clinic(settings, reads_only=reads_only)
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


def of_options(struct: type[Shape], options: dict[str, Any]) -> Shape:
    """The options as a Struct. If they are not valid, prints their faults and exits 2."""
    try:
        return shaped(struct, options)
    except CommandInvalid as error:
        fail(error, code=USAGE)


@contextmanager
def listening(host: str, port: int) -> Iterator[None]:
    """Around a server that listens: if it cannot open the service or the address, prints why and exits 1."""
    try:
        yield
    except IptError as error:
        fail(error)
    except (SystemExit, UnicodeError) as error:  # uvicorn ends the process if it cannot listen
        if isinstance(error, SystemExit) and not error.code:
            raise
        err.print(f"Cannot listen on {host}:{port}: it is in use, or no address of this machine.", markup=False)
        raise typer.Exit(FAILED) from None


def person_of(option: str, text: str) -> str:
    """A person that an option names. If it is no identity, says why and exits 2."""
    if not is_identity(text):
        usage(f"{option} {identity_fault(text) or f'must have 1 to {LENGTH_MAX} characters'}.")
    return text


def usage(message: str) -> NoReturn:
    err.print(message, markup=False)
    raise typer.Exit(USAGE)


def words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def print_json(value: Any) -> None:
    write_json(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_json(text: bytes) -> None:
    """Writes JSON to standard output. It is UTF-8, whatever the terminal's encoding is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text)


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
