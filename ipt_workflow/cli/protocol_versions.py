"""`protocol migrate` and `protocol replay`: plan what another version means for running courses, and move chosen courses to it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ipt_workflow.access.principal import Principal
from ipt_workflow.cli.course import run_as
from ipt_workflow.cli.output import bar, fail, out, person_of, print_json, print_table, run, usage, write_json
from ipt_workflow.cli.process import FAILED
from ipt_workflow.cli.token import operator
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.errors import IptError
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.protocols.migration import FAILED as NOT_MOVED
from ipt_workflow.service.protocols.migration import MigrationResult, Mover, PlannedMove, course_ids
from ipt_workflow.service.protocols.replay import EXAMPLES, ByRule, Trial, TrialResult
from ipt_workflow.store import courses as stored_courses

ALL_CLEAN = "all-clean"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def migrate(
    old: Annotated[str, typer.Option("--from", help="The version that the courses run now, such as ipt@1.")],
    new: Annotated[str, typer.Option("--to", help="The version to move them to, such as ipt@2.")],
    plan: Annotated[bool, typer.Option("--plan", help="Print what would happen to each course, and move none.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Move the courses in --courses.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="With --plan: the file of the version in --to, before it is in force.", exists=True, dir_okay=False),
    ] = None,
    courses: Annotated[
        str,
        typer.Option(
            help="all-clean (every course that carries over whole), ids separated by commas, or a file with one id on each line."
        ),
    ] = "",
    reason: Annotated[str, typer.Option(help="The reason for the move; recorded in every entry.")] = "",
    person: Annotated[str, typer.Option("--as", help="The supervisor who moves them; the journal records `via cli`.")] = "",
    as_json: AsJson = False,
) -> None:
    """Plan the move of every live course to another version of its protocol, or move chosen courses."""
    if plan == apply:
        usage("Give either --plan or --apply.")
    if plan:
        run(lambda clinic: _plan(_mover(clinic, old, new, file), as_json))
        return
    missing = [name for name, given in (("--courses", courses), ("--reason", reason), ("--as", person)) if not given.strip()]
    if missing:
        usage(f"--apply needs {', '.join(missing)}.")
    if file:
        usage(
            "--file works with --plan only. To apply a version, put its file into the folder of protocols and restart the service."
        )
    principal = Principal(person=person_of("--as", person), role="supervisor", via="cli")
    became = run_as(principal, lambda clinic: _apply(_mover(clinic, old, new), principal, courses, reason, as_json))
    if NOT_MOVED.intersection(became):
        raise typer.Exit(FAILED)


def replay(
    file: Annotated[Path, typer.Argument(help="The file of the candidate version.", exists=True, dir_okay=False)],
    examples: Annotated[int, typer.Option(min=0, max=1000, help="The number of examples for each rule.")] = EXAMPLES,
    as_json: AsJson = False,
) -> None:
    """Replay everything recorded under a protocol's versions with a candidate. List what it newly refuses and newly allows."""

    async def work(clinic: Clinic) -> TrialResult:
        candidate = _of_file(clinic, file)
        with _progress(await _count(clinic, candidate)) as advance:
            return await Trial(clinic, candidate, examples).run(_reader(), advance)

    tried = run(work)
    if as_json:
        print_json(tried)
        return
    out.print(
        f"{tried.protocol} tried on {tried.courses} courses and {tried.groups} groups: {tried.transitions} transitions, {tried.newly_refused} of them newly refused; "
        f"{tried.refusals} refusals, {tried.newly_allowed} of them newly allowed, {tried.not_judged} not judged.",
        markup=False,
    )
    rows = [("newly refused", *_by_rule(each)) for each in tried.refused_by.values()]
    rows += [("newly allowed", *_by_rule(each)) for each in tried.allowed_by.values()]
    if rows:
        print_table(("", "rule", "count", "for example"), rows)


def _by_rule(counted: ByRule) -> tuple[str, int, str]:
    named = (f"{each.course} {each.seq or 'refused'} {each.trigger}" for each in counted.examples)
    return counted.rule, counted.count, "\n".join(named)


async def _plan(mover: Mover, as_json: bool) -> None:
    with _progress(await _count(mover.clinic, mover.old)) as advance:
        kinds, because = Counter[str](), Counter[str]()

        def row(planned: PlannedMove) -> tuple[str, ...]:
            move = planned.move
            kinds[move.kind] += 1
            because.update(f"{move.kind} {each.name}" for each in move.obstacles or (*move.invalid, *move.gaps))
            return _words(move.kind), planned.course, planned.state, move.explanation

        await _listed(mover, mover.plans(_reader()), row, kinds, advance, as_json)
    if not as_json:
        rows = [
            (
                _words(kind),
                kinds[kind],
                ", ".join(f"{name.partition(' ')[2]} ({n})" for name, n in because.most_common() if name.startswith(kind)),
            )
            for kind in ("carries_over", "new_gaps", "stuck")
        ]
        out.print("", markup=False)
        print_table(("kind", "courses", "because of"), rows)


async def _apply(mover: Mover, principal: Principal, courses: str, reason: str, as_json: bool) -> Counter[str]:
    if (mover.new.id, mover.new.version) not in mover.clinic.catalogue.protocols:
        usage(f"The file of {mover.new.key} is no longer in the folder of protocols. Put it back and try again.")
    became = Counter[str]()

    def row(outcome: MigrationResult) -> tuple[str, ...]:
        became[outcome.became] += 1
        return _words(outcome.became), outcome.course, outcome.why

    with _chosen(courses) as chosen, _progress(await _count(mover.clinic, mover.old)) as advance:
        moves = mover.move_clean(principal, reason) if chosen is None else mover.move(principal, chosen, reason)
        await _listed(mover, moves, row, became, advance, as_json)
    if not as_json:
        out.print(", ".join(f"{n} {_words(each)}" for each, n in became.items()) or "No course was moved.", markup=False)
    return became


async def _listed(
    mover: Mover,
    batches: AsyncIterator[Sequence[Any]],
    row: Callable[[Any], tuple[str, ...]],
    summary: Counter[str],
    advance: Callable[[int], None],
    as_json: bool,
) -> None:
    """Prints results as they arrive: lines, or one JSON document with a summary at its end."""
    first = True
    if as_json:
        write_json(f'{{"from": "{mover.old.key}", "to": "{mover.new.key}", "courses": ['.encode())
    async for batch in batches:
        for each, cells in sorted(((each, row(each)) for each in batch), key=lambda both: both[1][0]):
            if as_json:
                write_json((b"" if first else b",") + b"\n  " + msgspec.json.encode(each))
            else:
                out.print("  ".join(cells).rstrip(), markup=False)
            first = False
        advance(len(batch))
    if as_json:
        write_json(b'\n], "summary": ' + msgspec.json.encode(dict(summary)) + b"}\n")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _reader() -> Principal:
    return Principal(person=operator().person, role="auditor", via="cli")


@contextmanager
def _chosen(courses: str) -> Iterator[Iterator[str] | None]:
    """The chosen ids, read when they are needed; None for every course that carries over whole."""
    if courses == ALL_CLEAN:
        yield None
    elif Path(courses).is_file():
        with Path(courses).open(encoding="utf-8-sig", errors="replace") as lines:
            yield course_ids(lines)
    else:
        yield course_ids([courses])


def _mover(clinic: Clinic, old: str, new: str, file: Path | None = None) -> Mover:
    mover = Mover(clinic, _known(clinic, old), _of_file(clinic, file) if file else _known(clinic, new))
    if mover.new.key != new:
        usage(f"--file holds {mover.new.key}, but --to is {new}. Give the file of {new}.")
    if mover.old.id != mover.new.id or mover.old.version == mover.new.version:
        usage(f"{old} and {new} must be two versions of one protocol.")
    return mover


def _known(clinic: Clinic, name: str) -> Protocol:
    """A protocol that courses may run, even if its file is gone."""
    found = next((protocol for protocol in clinic.protocols if protocol.key == name), None)
    if found is None:
        usage(f"There is no protocol {name}. Choose one of {', '.join(protocol.key for protocol in clinic.protocols)}.")
    return found


def _of_file(clinic: Clinic, file: Path) -> Protocol:
    """The protocol in a file. Reading it does not put it in force."""
    try:
        (found,) = load_catalogue([file], clinic.settings.instruments, KNOWN_RULES).protocols.values()
    except IptError as error:
        fail(error)
    return found


async def _count(clinic: Clinic, protocol: Protocol) -> int:
    """The number of courses under any version of a protocol."""
    counts = await clinic.read(stored_courses.courses_by_state)
    return sum(count for name, _, count in counts if name == protocol.id)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    with bar() as progress:
        task = progress.add_task("courses", total=total)
        yield lambda done: progress.advance(task, done)
