"""What surrounds every command: the process's streams and arguments, and a sentence for whatever goes wrong."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import NoReturn

FAILED, USAGE = 1, 2
PROGRAM = "ipt-workflow"
REPORT = "This is a fault of the program. Report it with this line."


def run(command: Callable[..., object], arguments: Sequence[str]) -> NoReturn:
    """Runs the command line and ends the process: with 0, or with a sentence on standard error and 1 or 2."""
    _ready_streams()
    for number, each in enumerate(arguments, start=1):
        if any("\ud800" <= character <= "\udfff" for character in each):
            _end(USAGE, f"Argument {number} is not text in the encoding of this terminal. Write it in UTF-8.")
    try:
        command(prog_name=PROGRAM, args=list(arguments))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except Exception as error:  # noqa: BLE001 - the last resort of every command
        code = FAILED
        _say(sentence(error))
    _end(code)


def sentence(error: BaseException) -> str:
    """What an error that no command expected means. It repeats no text of the error, which may hold a client's words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BrokenPipeError):
        return "The output was closed before all of it was written."
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename!r})" if isinstance(error.filename, str) else ""
        return f"A file or connection cannot be used: {error.strerror}{where}."
    if isinstance(error, MemoryError):
        return "The memory is used up. Use smaller files, or give the process more."
    return f"The command stopped at {_place(error)} with {type(error).__name__}. {REPORT}"


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "an unknown place"


def _ready_streams() -> None:
    """Opens closed descriptors, since a database's file would take their place. What a stream cannot show is escaped."""
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for number in closed:  # the lowest first: each gets its own number
        os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    if 2 in closed:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - it stays open as long as the process
    if 1 in closed:
        _say("Standard output is closed. Give the command one, such as /dev/null.")
        os._exit(USAGE)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _end(code: int, message: str | None = None) -> NoReturn:
    """Ends the process after everything was written. What cannot be written is not tried again when Python ends."""
    if message:
        _say(message)
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or FAILED
        _say(f"The output cannot be written: {error.strerror}.")
        _discard(1)
    try:
        sys.stderr.flush()
    except OSError:
        _discard(2)
    raise SystemExit(code)


def _say(message: str) -> None:
    try:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()
    except OSError:
        _discard(2)


def _discard(number: int) -> None:
    """Sends what is still to be written to a descriptor nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
