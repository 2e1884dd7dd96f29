"""Logs: JSON lines (or a console), and nothing of a client in them.

Only keys on the allow-list pass; the name of any other is noted under `dropped`, its value is lost. The event itself is a fixed
string. An exception is logged as its type and the places it came through, never its message or its locals, which may hold what a
client said. Records of other libraries keep the logger's name and level; their text passes only where it cannot be about a client.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger", "request_id", "course_id", "actor", "role", "via", "trigger", "version", "duration_ms",
        "method", "route", "status", "rules", "protocol", "kind", "count", "entries", "error_type", "frames", "command", "host", "port",
        "database", "organisation", "outcome", "dropped", "first_bad",
    }
)  # fmt: skip
SPEAKING_LOGGERS = ("uvicorn.error", "alembic")  # their lines tell of starting, stopping and migrating


def configure(log_format: str, log_level: str, stream: TextIO | None = None) -> None:
    """Sets up structlog and the standard library's logging, once, for the whole process."""
    out = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        bare_exception,
        allow_list,
    ]
    level = logging.getLevelNamesMapping()[log_level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[mute_foreign, *shared], processors=[_unwrap, renderer])
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in ("transitions", "sqlalchemy", "alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True


def allow_list(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drops every key that is not known to be harmless, and says which."""
    meta = {name: value for name, value in event.items() if name.startswith("_")}
    kept = {name: value for name, value in event.items() if name in ALLOWED}
    dropped = sorted(set(event) - set(kept) - set(meta))
    return {**kept, **meta, **({"dropped": dropped} if dropped else {})}


def bare_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Puts an exception's type and frames in the place of the exception."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1] if info else None
    if error is not None:
        event["error_type"] = type(error).__name__
        event["frames"] = frames(error.__traceback__)
    return event


def frames(trace: TracebackType | None) -> list[str]:
    """`file:line function`, outermost first; the file by its last two parts."""
    return [f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]


def mute_foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A record of another library: its text passes only where it cannot be about a client."""
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    if not record.name.startswith(SPEAKING_LOGGERS) or record.exc_info:
        event["event"] = "library message"
    if record.exc_info:
        event["exc_info"] = record.exc_info
    return event


def _unwrap(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(None, "", event)


def logger(**bound: Any) -> structlog.typing.FilteringBoundLogger:
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(**bound)
    return log
