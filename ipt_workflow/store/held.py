"""Jobs whose rows another transaction holds. They wait beside the committer's lane, so that no other course waits with them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")


class HeldJobs(Generic[Job]):
    """A queue for each course with a held job. `commit` ends a job, however long that takes, and never raises."""

    def __init__(self, commit: Callable[[Job], Awaitable[None]]) -> None:
        self._commit = commit
        self._queues: dict[Any, deque[Job]] = {}  # by course
        self._tasks: set[asyncio.Task[None]] = set()
        self.count = 0

    def hold(self, job: Job, courses: Iterable[Any]) -> None:
        """Tries a job in a task of its own, and then those that were queued behind it."""
        queue = deque([job])
        free = [course for course in courses if course not in self._queues]
        self._queues.update(dict.fromkeys(free, queue))
        self.count += 1
        task = asyncio.create_task(self._run(queue, free))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def take(self, job: Job, courses: Iterable[Any]) -> bool:
        """Queues a job behind a held one of the same course. Returns False if none of its courses is held."""
        queue = next((self._queues[course] for course in courses if course in self._queues), None)
        if queue is None:
            return False
        queue.append(job)
        self.count += 1
        return True

    async def wait(self) -> None:
        """Returns when no job is held any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, queue: deque[Job], courses: list[Any]) -> None:
        while queue:
            await self._commit(queue[0])
            queue.popleft()
            self.count -= 1
        for course in courses:
            del self._queues[course]
