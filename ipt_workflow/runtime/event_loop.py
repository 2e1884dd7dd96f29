"""The event loop of every process: uvloop's, which costs less for each request. On Windows it is asyncio's own."""

import asyncio
import sys

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop


def runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=new_event_loop)
