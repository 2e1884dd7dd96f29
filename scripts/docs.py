"""Writes the generated parts of docs/*.md from the code: the text between `<!-- generated: NAME -->` and `<!-- end -->`.

`python scripts/docs.py` rewrites them. `--check` writes nothing and exits 1 if something differs; the tests run it.
"""

import datetime as dt
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec import inspect as shapes

from ipt_workflow import gate, groups
from ipt_workflow.access import erasure, marks, policy, retention
from ipt_workflow.api import openapi, scopes, webhooks
from ipt_workflow.api.app import litestar_app
from ipt_workflow.api.problems import PROBLEMS
from ipt_workflow.cli.main import app as command_line
from ipt_workflow.course import Course, attention, examples, transitions_table, triggers
from ipt_workflow.course.rules import ARTEFACTS, KNOWN_RULES, PHASE_RULES, REGISTRY, Actor, Context, Rule
from ipt_workflow.course.rules.messages import BY_REASON, MESSAGES
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import events
from ipt_workflow.ehr.fhir.kinds import KINDS
from ipt_workflow.ehr.notices import types
from ipt_workflow.machine import CourseMachine, Refused, decide, machine_for
from ipt_workflow.protocols import definition
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.runtime import logs, settings
from ipt_workflow.runtime.metrics import Metrics
from ipt_workflow.service.privacy import policies
from ipt_workflow.store.databases import meanings
from ipt_workflow.store.schema import tables
from ipt_workflow.values.identities import FORMAT
from ipt_workflow.values.types import NO_NEWLINE

DOCS = Path(__file__).parent.parent / "docs"
MARKED = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

AUDIT_MEANS = {
    "transition": "A trigger was accepted: one entry of a course's journal.",
    "refusal": "Rules refused a trigger (`rules` names them), or a caller tried to read or do what their role may not (`rules` is `role`), or what the scopes of their token do not cover (`rules` is `scope`), or asked for what exists, but not for them (`rules` is `hidden`; they were answered 404), or for whom processing is restricted (`rules` is `processing_restriction` and the ground). A preview that is not permitted leaves no record.",
    "read": "A course, a caseload, a history, options, a preview, proposals, notices, sessions to attest, a source's own messages, groups, events, deliveries or this log were read. The record names every course that was shown. Where processing is restricted, `rules` is `processing_restriction` and the ground.",
    "export": "The audit log was exported.",
    "sign_in": "A person signed in or out, took another role, was not let in (`rules` says why: [sign-in](sign-in.md#attempts)), or changed their own passkeys, codes or password; or a session was ended. A system got an access token.",
    "config": "A token was created or revoked. A link to enrol was made, or everything with which somebody signs in was revoked. A person was added or changed (with the new roles), left or came back. A subscription was created, changed, rotated, pinged, paused, resumed, disabled or deleted. A source was added, changed (with each new value), rotated, disabled or enabled. A system was added, changed (with the names of what changed) or revoked. A group was made, a course joined or left it, or its facilitators were named. A sandbox's clock was moved. A retention policy was put in force or ended, or a month of this log was removed.",
    "proposal": "A command was proposed, or a proposal was declined, returned for revision, or lapsed. A cosigned proposal is a transition.",
    "delivery": "An event was delivered to a subscription, given up (`dead`) or withheld, or deliveries were replayed. The actor is the subscription.",
    "notice": "The outcome of an EHR's notice, or of a group's record that waited: `applied`, `waiting`, `ignored`, `dismissed`, or refused because its id came with another body. The actor is the source, or the person who resolved it.",
    "access": "Access beyond one's own clients began, ended or was reviewed: cover, emergency access, a restricted course, unmasked text. A mark on a client's record was set or ended (`rules` is its ground). A client was erased, or a record that was due was erased or kept.",
}
ROLE_MEANS = {
    "therapist": "gives the therapy; sees and changes their own courses",
    "supervisor": "sees the organisation's courses, agrees to exceptions, attests, reopens, corrects the entries of others",
    "ehr": "a system, not a person: sends the referrals, sessions, measures and consents that it holds",
    "admin": "manages people, tokens, systems, subscriptions and sources, and may refer clients; sees no course",
    "auditor": "reads everything, exports and verifies; never writes",
    "operator": "runs the installation: manages organisations, reads metrics; sees no course",
}
VERIFIED = {"law": "in the law itself", "secondary": "in another text about it", "no": "**not verified**"}
PART_WORDS = {
    "new": "–",
    "first": "first phase",
    "later": "a later phase",
    "phase": "any phase",
    "last": "last phase",
    "before_last_or_last": "last phase or the one before",
    "previous": "the phase before",
}
SOURCE_WORDS = {
    triggers.ANY: "any state",
    triggers.OPEN: "referred, any phase, paused",
    triggers.AFTER_START: "any state after `start`",
    definition.ENDED: "any ending",
}
TO_WORDS = {
    None: "stays",
    "first": "first phase",
    "next": "that phase",
    "remembered": "the state before",
    "adopted": "the named phase",
}
PATTERN_WORDS = {
    r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,63}": "code",
    r"[\x21-\x7e]+": "reference of the EHR",
    r"[A-Za-z0-9_+-]{1,16}": "code, at most 16 characters",
}


def shipped() -> protocol_files.Catalogue:
    config = settings.default_config_dir()
    return protocol_files.load_catalogue(config / "protocols", config / "instruments", KNOWN_RULES)


CATALOGUE = shipped()
IPT = CATALOGUE.get("ipt")
MACHINE: CourseMachine = machine_for(IPT)
NOTICES = types.load(settings.load({}).notices, IPT.instruments)


def table(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(value: Any) -> str:
    return ("" if value is None else str(value)).replace("|", "\\|").replace("\n", " ")


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# Triggers


def trigger_table() -> str:
    rows = []
    for row in triggers.TABLE:
        columns = {
            "reason": row.reason_required,
            "never blocked": row.never_blocked,
            "about the record": row.about_record,
            "not amendable": not row.amendable,
            "amended with a supervisor": row.amended_with_supervisor,
            "fired alone": row.fired_alone,
            "movable": row.movable,
        }
        marks = [mark for mark, applies in columns.items() if applies]
        marks += [f"only with `[{row.needs}]`"] if row.needs else []
        says = f"{row.does} {'*' + ', '.join(marks) + '*' if marks else ''}".strip()
        rows.append(
            (
                f"`{row.name}`",
                says,
                _sources(row.sources),
                TO_WORDS.get(row.to, f"`{row.to}`"),
                ", ".join(row.roles),
                code(row.rules),
            )
        )
    return table(("trigger", "what it does", "from", "to", "who", "rules"), rows)


def _sources(sources: tuple[str, ...]) -> str:
    return SOURCE_WORDS.get(sources) or ", ".join(PART_WORDS.get(part, f"`{part}`") for part in sources)


def trigger_data() -> str:
    return "\n".join(_data_of(row) for row in triggers.TABLE)


def _data_of(row: triggers.Trigger) -> str:
    fields = list(_fields(shapes.type_info(row.payload)))
    note = f"{' '.join(inspect.cleandoc(row.payload.__doc__ or '').split())}\n\n" if row.payload.__doc__ and fields else ""
    if not fields:
        return f"### `{row.name}`\n\nNo data.\n"
    return f"### `{row.name}`\n\n{note}{table(('field', 'type', 'given', 'kept'), fields)}"


def _fields(struct: Any, before: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Every field of a payload, those of tables inside it by their path."""
    for field in struct.fields:
        words, sealed, inner = _type(field.type)
        path = before + field.encode_name + ("[]" if inner and _is_list(field.type) else "")
        yield f"`{path}`", words, _given(field), sealed
        if inner is not None:
            yield from _fields(inner, path + ".")


def _given(field: Any) -> str:
    if field.required:
        return "required"
    if field.default in (None, (), msgspec.NODEFAULT):
        return "optional"
    return f"default `{msgspec.json.encode(field.default).decode()}`"


def _is_list(info: Any) -> bool:
    while isinstance(info, shapes.Metadata | shapes.UnionType):
        info = _inside(info)
    return isinstance(info, shapes.VarTupleType)


def _type(info: Any) -> tuple[str, str, Any]:
    """A field's type in words, whether it is sealed, and the Struct inside it, if any."""
    kept, place = "structural", ""
    while isinstance(info, shapes.Metadata | shapes.UnionType):
        if isinstance(info, shapes.Metadata):
            extra = info.extra or {}
            place = f", or the place of a `{extra['names']}` in `together`" if extra.get("names") else place
            kept = "sealed" if extra.get("sealed") else "never with the entry" if extra.get("reference") else kept
            if extra.get(FORMAT):
                return "client reference" if extra.get("reference") else "person", kept, None
        info = _inside(info)
    if isinstance(info, shapes.StructType):
        return "table", kept, info
    if isinstance(info, shapes.VarTupleType):
        words, item_kept, inner = _type(info.item_type)
        return f"list of {words}", item_kept if kept == "structural" else kept, inner
    if isinstance(info, shapes.LiteralType):
        return "one of " + code(map(str, info.values)), kept, None
    return _plain(info) + place, kept, None


def _inside(info: Any) -> Any:
    if isinstance(info, shapes.Metadata):
        return info.type
    return next(each for each in info.types if not isinstance(each, shapes.NoneType))


def _plain(info: Any) -> str:
    if isinstance(info, shapes.StrType):
        return PATTERN_WORDS.get(
            (info.pattern or "").removeprefix("^").removesuffix(f"${NO_NEWLINE}"),
            f"text, at most {info.max_length} characters" if info.max_length else "text",
        )
    if isinstance(info, shapes.IntType):
        bounds = f", {info.ge} to {info.le}" if info.ge is not None and info.le is not None else ""
        return f"whole number{bounds}"
    if isinstance(info, shapes.FloatType):
        return f"number, {info.ge:g} to {info.le:g}"
    words = {
        shapes.BoolType: "true or false",
        shapes.DateType: "date",
        shapes.DateTimeType: "time with an offset",
        shapes.AnyType: "anything",
    }
    if isinstance(info, shapes.DictType):
        return f"table of {_type(info.value_type)[0]} by {_type(info.key_type)[0]}"
    return words[type(info)]


# Rules


def rule_table() -> str:
    rows = []
    for name in sorted(REGISTRY):
        rule = REGISTRY[name]
        rows.append(
            (
                f"`{name}`",
                severity(rule),
                "yes" if rule.structural else "",
                rule.source,
                f"{rule.says} *asked at both times*" if rule.both_times else rule.says,
                _guards(name),
            )
        )
    return table(("rule", "hard or soft", "structural", "source", "what it demands", "over, in `ipt`"), rows)


def severity(rule: Rule) -> str:
    """In `ipt`: a rule is soft in every protocol, by this protocol, or in the case that its own text names."""
    bound = {each.severity for bounds in MACHINE.bound.values() for each in bounds if each.rule.name == rule.name}
    if rule.soft:
        return "soft"
    if bound == {"soft"}:
        return "soft in `ipt`"
    return "hard; soft in one case" if "soft" in rule.says else "hard"


def _guards(name: str) -> str:
    if name in {"state_allows", "processing_not_restricted"}:
        return "every trigger" if name == "state_allows" else "every trigger that is not *never blocked*"
    over = code(trigger for trigger, bound in MACHINE.bound.items() if any(each.rule.name == name for each in bound))
    if name == "later_entries_hold":
        return f"{over}, and every late entry"
    return over or _elsewhere(name)


def _elsewhere(name: str) -> str:
    """The triggers that a rule guards under other protocols than `ipt`."""
    needs = f" with `[{REGISTRY[name].needs}]`" if REGISTRY[name].needs else ""
    over = code(row.name for row in triggers.TABLE if name in row.rules)
    artefact = code(artefact for artefact, rules in ARTEFACTS.items() if name in rules)
    return f"not in `ipt`: {over or f'leaving a phase that requires {artefact}'}{needs}"


def form_table() -> str:
    """Every protocol that ships."""
    rows = []
    for name in sorted({protocol.id for protocol in CATALOGUE.protocols.values()}):
        p = CATALOGUE.get(name)
        phases = " / ".join(f"{phase.sessions_min}-{phase.sessions_max or ''}" for phase in p.phases)
        given = p.format if p.provider == "mental_health_clinician" else f"{p.format}, by non-specialists"
        least = min((row.confidence for row in p.evidence), key=SURE.index)
        rows.append(
            (
                f"`{p.id}`",
                p.title,
                code(p.indications),
                given,
                f"{p.ages.min}-{p.ages.max}",
                f"{p.contract.sessions}; {p.contract.weeks} weeks",
                phases,
                f"`{p.sick_role.mode}`",
                str(len(p.focus.areas)),
                f"`{least}`",
            )
        )
    heads = (
        "protocol",
        "title",
        "for",
        "given",
        "ages",
        "sessions",
        "by phase",
        "sick role",
        "areas",
        "lowest confidence of its numbers",
    )
    return table(heads, rows)


SURE = ("memory_low", "memory_medium", "design", "memory_high", "found", "seed")  # the lowest confidence first


def gate_claims() -> str:
    return table(("claim", "what it says"), [(f"`{name}`", says) for name, says in gate.CLAIMS.items()])


def requirements() -> str:
    """What leaving each phase of `ipt` must meet."""
    rows = []
    for phase in IPT.phases:
        after = IPT.next_phase(phase.id)
        name = f"begin_{after.id}" if after else "complete"
        rows += [(f"`{name}`", f"`{each.rule.name}`", each.severity, each.rule.says) for each in MACHINE.bound[name]]
    return table(("to", "rule", "", "what it demands"), rows)


def phase_table() -> str:
    rows = []
    for phase in IPT.phases:
        most = "what the contract leaves" if phase.sessions_max is None else phase.sessions_max
        extended = f", once {phase.sessions_max_extended} with a supervisor" if phase.sessions_max_extended else ""
        rows.append((f"`{phase.id}`", phase.sessions_min, f"{most}{extended}", code(phase.requires), code(phase.soft)))
    return table(("phase", "sessions at least", "at most", "must have", "of these soft"), rows)


def artefact_table() -> str:
    return table(("artefact", "rules that look for it"), ((f"`{name}`", code(rules)) for name, rules in ARTEFACTS.items()))


def phase_rule_table() -> str:
    rows = ((f"`{name}`", code(sorted(REGISTRY[name].parameters)) or "none", REGISTRY[name].says) for name in PHASE_RULES)
    return table(("rule", "parameters", "what it demands"), rows)


def diagram() -> str:
    return f"```mermaid\n{transitions_table.diagram(IPT).strip()}\n```\n"


# A real refusal


def refusal() -> str:
    """`begin_middle` in a course that has all but the sick role and the problem area."""
    now = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
    therapist = Actor("therapist-1", "therapist")
    course: Course | None = None
    steps = ["refer", "record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history"]
    steps += ["record_inventory", "record_timeline", "record_formulation", "accept_formulation", "agree_contract", "record_measure"]
    for minutes, name in enumerate(steps):
        context = Context(
            now=now + dt.timedelta(minutes=minutes), actor=therapist, course_id="0197c8f2-…", client="…", therapist="therapist-1"
        )
        body = examples.example(IPT, course, name, context)
        answer = decide(IPT, course, msgspec.convert(body, Command), context)
        assert not isinstance(answer, Refused), (name, answer)
        course = answer.course
    override = triggers.Override(("baseline_of_every_aim",), "The forms come with the next session.")
    answer = decide(IPT, course, Command("begin_middle", override=override), context)
    assert isinstance(answer, Refused)
    n = len(answer.refusals)
    problem = {
        "type": "/problems/transition-refused",
        "title": PROBLEMS["transition-refused"].title,
        "status": PROBLEMS["transition-refused"].status,
        "detail": f"begin_middle: {n} rules are not met",
        "instance": "/v1/courses/0197c8f2-…/transitions",
        **msgspec.to_builtins(answer),
    }
    return f"```json\n{msgspec.json.format(msgspec.json.encode(problem), indent=2).decode()}\n```\n"


def message_table() -> str:
    """The sentences of all refusals. Those of groups' rules follow those of courses."""
    rows = [(f"`{name}`", sentence) for name, sentence in (*sorted(MESSAGES.items()), *sorted(groups.MESSAGES.items()))]
    return table(("`message_id`", "sentence"), rows)


def soft_sentence() -> str:
    return f"> {BY_REASON}\n"


# The clinic


def problem_table() -> str:
    rows = [(f"`/problems/{slug}`", each.status, each.title, each.means) for slug, each in PROBLEMS.items()]
    return table(("type", "status", "title", "means"), rows)


def setting_table() -> str:
    text = (settings.default_config_dir() / "service.toml").read_text(encoding="utf-8")
    defaults = tomllib.loads(text)
    rows = [
        (
            "`IPT_CONFIG_DIR`",
            "the `config/` of the source tree or the wheel",
            "a folder",
            "Where the files under `config/` are. Environment only.",
        )
    ]
    comments: list[str] = []
    meaning, in_comment = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            comments = [*comments, line.lstrip("# ")] if in_comment else [line.lstrip("# ")]
            in_comment = True
            meaning = " ".join(comments)
            continue
        in_comment = False
        name = line.partition("=")[0].strip()
        if name in defaults:
            rows.append((f"`IPT_{name.upper()}`", f"`{msgspec.json.encode(defaults[name]).decode()}`", _bounds(name), meaning))
    return table(("setting", "default", "values", "meaning"), rows)


def _bounds(name: str) -> str:
    shape = settings.Settings.model_json_schema()["properties"][name]
    if "enum" in shape:
        return ", ".join(shape["enum"])
    if "minimum" in shape:
        return f"{shape['minimum']} to {shape['maximum']}"
    return {"boolean": "true or false", "string": "text"}.get(shape["type"], shape["type"])


def question_table() -> str:
    roles = list(ROLE_MEANS)
    rows = [(question, *("yes" if role in allowed else "" for role in roles)) for question, allowed in policy.QUESTIONS.items()]
    return table(("may …", *roles), rows)


def role_table() -> str:
    rows = []
    for role, means in ROLE_MEANS.items():
        may = [row.name for row in triggers.TABLE if role in row.roles]
        rows.append((f"`{role}`", means, code(may) or "nothing"))
    return table(("role", "a person or system that", "may fire"), rows)


def attention_table() -> str:
    return table(("kind", "when"), ((f"`{kind}`", means) for kind, means in attention.KINDS.items()))


def audit_table() -> str:
    return table(("kind", "what it records"), ((f"`{kind}`", AUDIT_MEANS[kind]) for kind in ("transition", *tables.AUDIT_KINDS)))


def mark_table() -> str:
    """The grounds of marks on clients' records."""
    rows = ((f"`{kind}`", f"`{ground}`", means) for kind, grounds in marks.GROUNDS.items() for ground, means in grounds.items())
    return table(("kind", "ground", "which means"), rows)


def retention_kinds() -> str:
    """What a retention policy may be about."""
    rows = (
        (f"`{kind}`", means, ", ".join(f"`{each}`" for each in retention.ANCHORS[kind])) for kind, means in retention.MEANS.items()
    )
    return table(("kind", "what is kept", "anchors"), rows)


def retention_examples() -> str:
    """The examples of retention policies that ship."""
    found = policies.examples(DOCS.parent / "config" / "retention.toml")
    rows = (
        (
            f"`{each.name}`",
            f"`{each.kind}`",
            each.jurisdiction,
            f"{each.bound} of `{each.period}`",
            f"`{each.anchor}`",
            each.citation,
            VERIFIED[each.verified],
        )
        for each in found
    )
    return table(("name", "kind", "where", "term", "from", "citation", "verified"), rows)


def erased_table() -> str:
    return table(("kind", "what goes"), ((f"`{kind}`", words) for kind, words in erasure.KINDS.items()))


def command_list() -> str:
    return "\n".join(_command(path, each) for path, each in commands(typer.main.get_command(command_line), ("ipt-workflow",)))


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    for name, child in sorted(children.items()):
        yield from commands(child, (*path, name))


def _command(path: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    usage = " ".join([path, *(each.name.upper() for each in arguments)])
    rows = [(f"`{', '.join(each.opts)}`", each.help or "") for each in command.params if each.param_type_name == "option"]
    rows = [row for row in rows if row[0] != "`--help`"]
    helps = [f"- `{each.name.upper()}`: {each.help}" for each in arguments if getattr(each, "help", None)]
    parts = [f"### `{usage}`", " ".join((command.help or "").split())]
    parts += ["\n".join(helps)] if helps else []
    parts += [table(("option", ""), rows).rstrip()] if rows else []
    return "\n\n".join(parts) + "\n"


def route_table() -> str:
    paths = openapi.document(litestar_app(settings.load({})))["paths"]
    rows = [
        (f"`{method.upper()} {path}`", operation["summary"], " ".join(operation.get("description", "").split()))
        for path, item in paths.items()
        for method, operation in item.items()
    ]
    return table(("route", "does", ""), rows)


def scope_table() -> str:
    by_scope: dict[str, list[str]] = {}
    for (method, path), row in sorted(scopes.NEEDS.items(), key=lambda each: each[0][1]):
        if not path.startswith(("/fhir", "/sandbox")):
            by_scope.setdefault(f"system/{row}", []).append(f"{method} {path}")
    return table(("scope", "routes"), [(f"`{scope}`", code(routes)) for scope, routes in sorted(by_scope.items())])


def instrument_table() -> str:
    rows = []
    for key, each in sorted(IPT.instruments.items()):
        bands = ", ".join(f"{band.label} {band.min}–{band.max}" for band in each.bands) or "none"
        risk = f"item {each.risk_item} from {each.risk_threshold}" if each.risk_item else "none"
        confidence = sorted({row.confidence for row in each.evidence})
        rows.append(
            (f"`{key}`", each.title, each.aim.replace("_", " "), f"{each.items} × {each.item_min}–{each.item_max}; {each.total_min}–{each.total_max}",
             each.direction.replace("_", " "), bands, each.reliable_change or "not defined", risk, ", ".join(confidence), each.licence)
        )  # fmt: skip
    columns = (
        "key",
        "scale",
        "aim",
        "answers; total",
        "direction",
        "bands",
        "reliable change",
        "risk item",
        "confidence of its numbers",
        "licence",
    )
    return table(columns, rows)


def evidence_table() -> str:
    return table(("key", "source", "confidence"), ((f"`{row.key}`", row.source, f"`{row.confidence}`") for row in IPT.evidence))


def group_rule_table() -> str:
    return table(("rule", "what it demands"), ((f"`{name}`", says) for name, says in groups.RULES.items()))


def metric_table() -> str:
    rows = [(f"`{metric.name}`", metric.type, metric.documentation) for metric in Metrics().registry.collect()]
    return table(("metric", "type", "what it counts"), rows)


def notice_table() -> str:
    rows = []
    for row in NOTICES.by_name.values():
        fields = ", ".join(f"`{field.name}`{'' if field.required else '?'}" for field in row.fields)
        by = "fired by the source" if row.handling == "apply" else "waits: a person fires it"
        rows.append((f"`{row.type}`", row.does, f"`{row.trigger}`, {by}", fields))
    return table(("type", "meaning", "trigger", "`data` (? is optional)"), rows)


def fhir_in_table() -> str:
    rows = [
        (f"`{row.instrument}`", code(row.panels), code(row.items), code(row.totals), ", ".join(f"`{key}` {score}" for key, score in row.answers.items()))
        for row in NOTICES.fhir.instruments
    ]  # fmt: skip
    return table(("scale", "panel", "items, in order", "total", "answers"), rows)


def log_keys() -> str:
    return code(sorted(logs.ALLOWED)) + "\n"


def database_failures() -> str:
    """What each failure of a database means, with the codes of both databases: a row for each sentence."""
    codes: dict[meanings.Meaning, tuple[list[str], list[str]]] = {}
    for place, known in enumerate((meanings.POSTGRESQL, meanings.SQLITE)):
        for each, meaning in known.items():
            codes.setdefault(meaning, ([], []))[place].append(f"`{each}`")
    rows = [(each.sentence, f"`{each.error.__name__}`", *map(", ".join, found)) for each, found in codes.items()]
    return table(("what the answer says", "error", "SQLSTATE, or its class", "SQLite's code"), rows)


def fhir_table() -> str:
    rows = []
    for served in KINDS.values():
        rows += [
            (f"`{served.name}`", f"`{each.name}:identifier`" if each.logical else f"`{each.name}`", each.kind, each.says)
            for each in served.params
        ]
    return table(("resource", "parameter", "kind", ""), rows)


def event_table() -> str:
    """Every type that has its own shape; the types of triggers share one row."""
    named = (*webhooks.TYPES, events.EVERY_NAME)
    rows = []
    for name in named:
        shape = events.shape(name)
        rows.append(
            (
                f"`{name}`",
                " ".join((shape.__doc__ or "").split()),
                code(field.encode_name for field in shapes.type_info(shape).fields),
            )
        )
    return table(("type", "when it is sent, and its content", "`data`"), rows)


def deployed(name: str, language: str) -> str:
    """An example under `deploy/`."""
    return f"```{language}\n{(DOCS.parent / 'deploy' / name).read_text(encoding='utf-8')}```"


GENERATED: dict[str, Callable[[], str]] = {
    "triggers": trigger_table,
    "trigger-data": trigger_data,
    "rules": rule_table,
    "claims": gate_claims,
    "forms": form_table,
    "requirements": requirements,
    "phases": phase_table,
    "artefacts": artefact_table,
    "phase-rules": phase_rule_table,
    "diagram": diagram,
    "refusal": refusal,
    "messages": message_table,
    "soft-sentence": soft_sentence,
    "problems": problem_table,
    "settings": setting_table,
    "questions": question_table,
    "roles": role_table,
    "attention": attention_table,
    "audit-kinds": audit_table,
    "marks": mark_table,
    "retention-kinds": retention_kinds,
    "retention-examples": retention_examples,
    "erased-kinds": erased_table,
    "commands": command_list,
    "routes": route_table,
    "scopes": scope_table,
    "fhir-parameters": fhir_table,
    "instruments": instrument_table,
    "evidence": evidence_table,
    "group-rules": group_rule_table,
    "metrics": metric_table,
    "notices": notice_table,
    "fhir-scales": fhir_in_table,
    "log-keys": log_keys,
    "database-failures": database_failures,
    "events": event_table,
    "nginx": partial(deployed, "nginx.conf", "nginx"),
    "haproxy": partial(deployed, "haproxy.cfg", "haproxy"),
    "pgbouncer": partial(deployed, "pgbouncer.ini", "ini"),
    "environment": partial(deployed, "environment", "ini"),
    "unit": partial(deployed, "ipt-workflow@.service", "ini"),
    "containerfile": partial(deployed, "Containerfile", "dockerfile"),
    "rolling-restart": partial(deployed, "rolling-restart", "bash"),
    "archiving": partial(deployed, "archiving.conf", "ini"),
    "recover": partial(deployed, "recover", "bash"),
}


def rewritten(text: str) -> str:
    """A document with its generated parts written again. Raises KeyError for the name of a part that is not generated."""
    return MARKED.sub(lambda found: f"{found[1]}\n{GENERATED[found['name']]()}\n{found[3]}", text)


def stale() -> list[Path]:
    """Documents whose generated parts differ from the code."""
    return [path for path in pages() if rewritten(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")]


def pages() -> list[Path]:
    return sorted(DOCS.glob("*.md"))


def names_used() -> list[str]:
    return [found["name"] for path in pages() for found in MARKED.finditer(path.read_text(encoding="utf-8"))]


def main(arguments: list[str]) -> int:
    old = stale()
    for path in old:
        if "--check" not in arguments:
            path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{path.name} {'differs from the code: run python scripts/docs.py' if '--check' in arguments else 'written'}")
    return 1 if old and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
