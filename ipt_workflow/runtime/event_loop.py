"""The event loop that everything here runs on: uvloop's, which costs less for every answer that comes in; Windows has asyncio's own."""

import asyncio
import sys

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop


def runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=new_event_loop)
