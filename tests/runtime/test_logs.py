"""Logs: what passes, and above all what does not."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from ipt_workflow.runtime import logs

TOLD = "what the client said"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    known = {name: logging.getLogger(name) for name in ("transitions", "sqlalchemy", "alembic", "httpx", "uvicorn.access")}
    before = {name: (log.level, log.disabled) for name, log in known.items()}
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, log in known.items():
        log.level, log.disabled = before[name]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines() -> Lines:
    """Configures JSON logs at level info; a call reads what was written so far."""
    out = io.StringIO()
    logs.configure("json", "info", out)
    return lambda: [json.loads(line) for line in out.getvalue().splitlines()]


def raised(error: Exception) -> Exception:
    """The error with the traceback of having been raised from a frame that holds what a client said."""
    said = TOLD
    try:
        assert said
        raise error
    except type(error) as caught:
        return caught


def test_known_keys_pass(lines: Lines) -> None:
    logs.logger().info("request", method="GET", route="/v1/courses", status=200, duration_ms=1.5)
    (line,) = lines()
    assert line.items() >= {"event": "request", "level": "info", "method": "GET", "status": 200}.items()
    assert line["timestamp"].endswith("Z")


def test_an_unknown_key_is_dropped_and_only_its_name_is_logged(lines: Lines) -> None:
    logs.logger().info("request", client_ref=TOLD, note=TOLD, status=200)
    (line,) = lines()
    assert line["dropped"] == ["client_ref", "note"]
    assert TOLD not in json.dumps(line)


def test_keys_bound_to_the_request_must_be_on_the_same_list(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1", client_ref=TOLD)
    logs.logger().info("request")
    (line,) = lines()
    assert line["request_id"] == "r-1"
    assert line["dropped"] == ["client_ref"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_is_its_type_and_frames_and_never_its_message_or_locals(log_format: str) -> None:
    out = io.StringIO()
    logs.configure(log_format, "info", out)
    logs.logger().error("request failed", exc_info=raised(ValueError(TOLD)))
    assert "ValueError" in out.getvalue()
    assert "runtime/test_logs.py:" in out.getvalue()
    assert TOLD not in out.getvalue()


def test_the_cause_of_an_exception_is_not_logged_either(lines: Lines) -> None:
    error = RuntimeError("outer")
    error.__cause__ = raised(ValueError(TOLD))
    logs.logger().error("request failed", exc_info=raised(error))
    assert TOLD not in json.dumps(lines())


def test_a_group_of_one_exception_is_logged_as_that_exception(lines: Lines) -> None:
    logs.logger().error("request failed", exc_info=raised(ExceptionGroup(TOLD, [KeyError(TOLD)])))
    assert lines()[0]["error_type"] == "KeyError"


def test_an_operating_system_error_is_logged_with_its_name(lines: Lines) -> None:
    logs.logger().error("request failed", exc_info=raised(FileNotFoundError(2, TOLD)))
    assert lines()[0]["errno"] == "ENOENT"


def test_a_traceback_is_cut_to_the_last_two_parts_of_each_path(lines: Lines) -> None:
    logs.logger().error("request failed", exc_info=raised(ValueError()))
    assert all(frame.split(":")[0].count("/") <= 1 for frame in lines()[0]["frames"])


def test_the_server_s_lines_of_starting_and_stopping_are_kept(lines: Lines) -> None:
    logging.getLogger("uvicorn.error").info("Uvicorn running on %s://%s:%d (Press CTRL+C to quit)", "http", "::1", 8000)
    assert lines()[0]["event"] == "Uvicorn running on http://::1:8000 (Press CTRL+C to quit)"


@pytest.mark.parametrize("name", ["uvicorn.error", "sqlalchemy.engine.Engine", "asyncio", "some.library"])
def test_the_text_of_other_libraries_is_not_kept(lines: Lines, name: str) -> None:
    logging.getLogger(name).warning("%s", TOLD)
    (line,) = lines()
    assert line.items() >= {"event": "library message", "logger": name, "level": "warning"}.items()
    assert TOLD not in json.dumps(line)


@pytest.mark.parametrize("name", ["uvicorn.error", "alembic.runtime.migration"])
def test_a_library_s_exception_is_its_type_and_frames_too(lines: Lines, name: str) -> None:
    logging.getLogger(name).error("Application startup failed", exc_info=raised(ValueError(TOLD)))
    (line,) = lines()
    assert line["error_type"] == "ValueError"
    assert TOLD not in json.dumps(line)


def test_the_text_of_a_failed_start_gives_way_to_the_exception_it_quotes(lines: Lines) -> None:
    try:
        raise LookupError(TOLD)  # noqa: TRY301 - the exception has to be live while the text is logged
    except LookupError as error:
        logging.getLogger("uvicorn.error").error("Traceback: %s", str(error))  # noqa: TRY400 - as the server does it
    (line,) = lines()
    assert line["error_type"] == "LookupError"
    assert TOLD not in json.dumps(line)


def test_migrations_may_speak_but_not_quote_an_exception(lines: Lines) -> None:
    logging.getLogger("alembic.runtime.migration").warning("Running upgrade %s", "0001")
    logging.getLogger("alembic.runtime.migration").warning("Failed: %s", ValueError(TOLD))
    assert [line["event"] for line in lines()] == ["Running upgrade 0001", "library message"]


def test_keys_that_a_library_adds_to_a_record_are_dropped(lines: Lines) -> None:
    logging.getLogger("some.library").warning("x", extra={"client_ref": TOLD}, stack_info=True)
    assert TOLD not in json.dumps(lines())


def test_statements_transitions_and_the_server_s_access_log_are_off(lines: Lines) -> None:
    logging.getLogger("sqlalchemy.engine.Engine").info("INSERT INTO entry VALUES ('%s')", TOLD)
    logging.getLogger("transitions.core").info("Executed callback")
    logging.getLogger("uvicorn.access").info("GET /v1/courses")
    assert lines() == []


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    logs.configure("json", "warning", out)
    logs.logger().info("request")
    logging.getLogger("uvicorn.error").info("Shutting down")
    assert out.getvalue() == ""


def test_auto_is_json_unless_a_person_is_reading() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    file, terminal = io.StringIO(), Terminal()
    for out in (file, terminal):
        logs.configure("auto", "info", out)
        logs.logger().info("request")
    assert json.loads(file.getvalue())["event"] == "request"
    assert not terminal.getvalue().startswith("{")
