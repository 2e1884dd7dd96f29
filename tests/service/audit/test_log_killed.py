"""`kill -9` between every two steps of giving positions and of signing: there is one root for each size, and no position twice."""

import asyncio
import importlib
import inspect
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support import databases, service_walk
from support.forks import Fork, command_line

from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.journal.proof import ipt_verify, leaves
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints
from ipt_workflow.store import log
from ipt_workflow.store.schema import tables

NOTE = Command("note", {"text": "She called."})
STEPS = {  # the process is killed when one of these has returned
    "leaves are written": "ipt_workflow.store.log:insert_all",
    "the tree is written": "ipt_workflow.store.log:_write",
    "positions are given": "ipt_workflow.store.events:number_events",
    "positions are committed": "ipt_workflow.ehr.deliveries.fan_out:bring_up_to_date",
    "what is to be signed is kept": "ipt_workflow.runtime.kept_files:replace",
    "it is signed": "ipt_workflow.service.audit.log_keys:signed",
    "the checkpoint is written": "ipt_workflow.store.checkpoints:keep",
    "the checkpoint is committed": "ipt_workflow.service.audit.checkpoints:Checkpoints._sign",
}


def killed_after(step: str, *arguments: str) -> None:
    """The command line, in a process of its own."""
    module, _, path = STEPS[step].partition(":")
    owner: Any = importlib.import_module(module)
    *within, name = path.split(".")
    for part in within:
        owner = getattr(owner, part)
    whole = getattr(owner, name)

    def dies(*args: Any, **named: Any) -> Any:
        whole(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    async def dies_later(*args: Any, **named: Any) -> Any:
        await whole(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dies_later if inspect.iscoroutinefunction(whole) else dies)
    command_line(*arguments)


@pytest.mark.matrix(4)
@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_is_killed_leaves_one_root_for_each_size(server, tmp_path, step):
    (tmp_path / "log.keys").write_text(log_keys.new_file())
    settings = databases.empty(tmp_path, server).model_copy(update={"log_key_file": str(tmp_path / "log.keys")})
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    environ = {**kept, "IPT_DATABASE_URL": settings.database_url, "IPT_LOG_KEY_FILE": settings.log_key_file}

    async def test() -> None:
        async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
            course = await service_walk.open_course(clinic)
            await fan_out.bring_up_to_date(clinic)
            await Checkpoints(clinic).sign()
            await service_walk.fire(clinic, course, NOTE)
            with Fork(step, "log", "sign", env=environ, program=killed_after) as killed:
                assert await asyncio.to_thread(killed.wait, 30) == -signal.SIGKILL
            await service_walk.fire(clinic, course, NOTE)
            await fan_out.bring_up_to_date(clinic)
            await Checkpoints(clinic).sign()
            await whole(clinic)

    asyncio.run(test())


async def whole(clinic) -> None:
    """Every entry has one position, and every checkpoint the root of the leaves before it."""
    found = await clinic.read(log.leaves, 0, 1000)
    assert [each.position for each in found] == list(range(len(found)))
    assert sorted(each.seq for each in found if each.kind == "entry") == [1, 2, 3]
    hashes = leaves.hashes(found)
    checkpoints = await clinic.database.read(lambda connection: connection.execute(tables.log_checkpoint.select()).all())
    assert {each.size for each in checkpoints} >= {len(found)}
    for each in checkpoints:
        assert ipt_verify.decoded(each.root, "The root") == ipt_verify.root_of(hashes[: each.size])
    keys = log_keys.of_log(await asyncio.to_thread(Path(clinic.settings.log_key_file).read_text), checkpoints[0].origin)
    assert all(ipt_verify.holds(keys[0].key, ipt_verify.read_note(each.note)) for each in checkpoints)
