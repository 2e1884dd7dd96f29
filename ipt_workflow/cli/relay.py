"""`relay` delivers webhooks in a process of its own; `receive` is a receiver for rehearsals."""

import asyncio
import signal
import sys
from typing import Annotated

import msgspec
import typer
import uvicorn

from ipt_workflow.cli.output import listening, out, print_json, run, usage, write_json
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries import relays
from ipt_workflow.ehr.deliveries.receiver import DeliveryReceipt, Receiver, Trouble
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.sandbox import refuse_sandbox


def relay(
    once: Annotated[bool, typer.Option("--once", help="Deliver everything that is due, then end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print JSON.")] = False,
) -> None:
    """Deliver the webhooks of all organisations until interrupted. Run `serve` with IPT_RELAY=false beside it."""

    async def work(clinic: Clinic) -> int:
        refuse_sandbox(clinic)
        clinics = Clinics(clinic)
        active = await clinics.look()
        if once:
            return sum([await _drained(each) for each in active])
        stop = asyncio.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await asyncio.gather(clinics.watch(stop), relays.run(clinics, stop))
        return 0

    attempts = run(work)
    if once and as_json:
        print_json({"attempts": attempts})
    elif once:
        out.print(f"{attempts} attempts.")


async def _drained(clinic: Clinic) -> int:
    """Delivers what is due, and returns the number of attempts."""
    relay = Relay(clinic)
    try:
        return await relay.drain()
    finally:
        await relay.close()


def receive(
    secret: Annotated[
        list[str] | None,
        typer.Option(help="Key to verify signatures with: whsec_… or whpk_…; may be repeated.", envvar="RECEIVE_SECRET"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 9000,
    fail: Annotated[int, typer.Option(min=0, help="Answer the first N deliveries with an error.")] = 0,
    fail_status: Annotated[int, typer.Option(min=300, max=599, help="HTTP status of that error.")] = 500,
    retry_after: Annotated[int | None, typer.Option(min=0, help="Send Retry-After with the error, in seconds.")] = None,
    stall: Annotated[int, typer.Option(min=0, help="Accept the next N deliveries, but answer late.")] = 0,
    stall_seconds: Annotated[float, typer.Option(min=0, help="Delay of the late answers, in seconds.")] = 30.0,
    gone: Annotated[bool, typer.Option("--gone", help="Answer everything with 410, which disables the subscription.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each request.")] = False,
) -> None:
    """Receive webhooks as an EHR system should, for rehearsals: verify, accept each id once, report gaps; or fail on request."""
    try:
        keys = [signatures.read_key(each) for each in secret or ()]
    except ValueError as error:
        usage(f"--secret: {error}.")
    if not keys:
        usage("--secret must be given. Use the secret that was shown when the subscription was created.")
    trouble = Trouble(
        fail=fail, fail_status=fail_status, retry_after=retry_after, stall=stall, stall_seconds=stall_seconds, gone=gone
    )

    def report(receipt: DeliveryReceipt) -> None:
        if as_json:
            write_json(msgspec.json.encode(receipt) + b"\n")
        else:
            out.print(words(receipt), markup=False)
        sys.stdout.flush()

    out.print(f"Listening on http://{host}:{port}/", markup=False)
    with listening(host, port):
        uvicorn.run(Receiver(keys, report, trouble), host=host, port=port, log_config=None, timeout_graceful_shutdown=1)


def words(receipt: DeliveryReceipt) -> str:
    """One line such as `received  204  course.changed  0197…  evt_0197…  sequence 7`, with gaps and lateness at the end."""
    parts = [f"{receipt.outcome:<10}{receipt.status}", receipt.type, receipt.course, receipt.id]
    if receipt.sequence is not None:
        parts.append(f"sequence {receipt.sequence}")
    if receipt.missing:
        parts.append("GAP: " + "-".join(str(each) for each in dict.fromkeys(receipt.missing)) + " missing")
    if receipt.late:
        parts.append("late")
    if receipt.rewritten:
        parts.append(f"REWRITTEN: another log of size {receipt.log_size} was announced before")
    return "  ".join(part for part in parts if part)
