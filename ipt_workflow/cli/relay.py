"""`relay` and `receive`: delivering by itself, and the other side for rehearsals."""

import asyncio
import signal
import sys
from typing import Annotated

import msgspec
import typer
import uvicorn

from ipt_workflow.cli.output import out, print_json, run, usage
from ipt_workflow.ehr import signing
from ipt_workflow.ehr.deliveries.receiver import DeliveryReceipt, Receiver, Trouble
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.service.clinic import Clinic


def relay(
    once: Annotated[bool, typer.Option("--once", help="Do what can be done now, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print JSON.")] = False,
) -> None:
    """Deliver webhooks, until it is interrupted. Beside it, `serve` runs with IPT_RELAY=false."""

    async def work(clinic: Clinic) -> int:
        relay = Relay(clinic)
        if once:
            try:
                return await relay.drain()
            finally:
                await relay.close()
        stop = asyncio.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await relay.run(stop)
        return 0

    attempts = run(work)
    if once and as_json:
        print_json({"attempts": attempts})
    elif once:
        out.print(f"{attempts} attempts.")


def receive(
    secret: Annotated[
        list[str] | None,
        typer.Option(help="What signatures are verified with: whsec_… or whpk_…; may be repeated.", envvar="RECEIVE_SECRET"),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen.")] = 9000,
    fail: Annotated[int, typer.Option(min=0, help="Answer the first so many deliveries with an error.")] = 0,
    fail_status: Annotated[int, typer.Option(min=300, max=599, help="Which error.")] = 500,
    retry_after: Annotated[int | None, typer.Option(min=0, help="Ask, with the error, to wait so many seconds.")] = None,
    stall: Annotated[int, typer.Option(min=0, help="Take the next so many deliveries, but answer late.")] = 0,
    stall_seconds: Annotated[float, typer.Option(min=0, help="How late.")] = 30.0,
    gone: Annotated[bool, typer.Option("--gone", help="Answer everything with 410: the subscription is disabled.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each request.")] = False,
) -> None:
    """Receive webhooks as an EHR system should, to rehearse: verify, take each id once, report gaps; or fail as told."""
    try:
        keys = [signing.read_key(each) for each in secret or ()]
    except ValueError as error:
        usage(f"--secret: {error}.")
    if not keys:
        usage("--secret must be given: what creating the subscription has shown.")
    trouble = Trouble(
        fail=fail, fail_status=fail_status, retry_after=retry_after, stall=stall, stall_seconds=stall_seconds, gone=gone
    )

    def report(receipt: DeliveryReceipt) -> None:
        line = msgspec.json.encode(receipt).decode() if as_json else words(receipt)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    out.print(f"Listening on http://{host}:{port}/", markup=False)
    uvicorn.run(Receiver(keys, report, trouble), host=host, port=port, log_config=None, timeout_graceful_shutdown=1)


def words(receipt: DeliveryReceipt) -> str:
    """`received  course.changed  0197…  sequence 7`, with what is wrong behind it."""
    parts = [f"{receipt.outcome:<10}{receipt.status}", receipt.type, receipt.course, receipt.id]
    if receipt.sequence is not None:
        parts.append(f"sequence {receipt.sequence}")
    if receipt.missing:
        parts.append("GAP: " + "-".join(str(each) for each in dict.fromkeys(receipt.missing)) + " missing")
    if receipt.late:
        parts.append("late")
    return "  ".join(part for part in parts if part)
