"""A form as it was sent: its fields, the version of the course that it was filled in on, and the key by which it counts once."""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course.triggers import Command, Override, row_of
from ipt_workflow.errors import CommandInvalid, KeyReused, Refusal, StaleVersion, TransitionRefused
from ipt_workflow.service.drafts import DraftView
from ipt_workflow.service.views import EntryView
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.web import interrupted
from ipt_workflow.web.course.ways import proposable
from ipt_workflow.web.forgery import FIELD
from ipt_workflow.web.forms import FieldFault, Pairs, grouped, typed
from ipt_workflow.web.forms.posted import FILL_IN
from ipt_workflow.web.language import gettext
from ipt_workflow.web.pages import PageRequest

VERSION, KEY = "_version", "_key"  # hidden fields of every form that writes
ADD, PROPOSE, DISCARD, OVERRIDE, WHY = (
    "_add",
    "_propose",
    "_discard",
    "_override",
    "_why",
)  # buttons and fields that only some forms have
BYTES_MAX = 1_048_576  # a form may hold an inventory of fifty people
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NUMBER = re.compile(r"\d{1,9}")


class ShownForm(msgspec.Struct, frozen=True, kw_only=True):
    """One showing of a form: what is typed in it, and what is wrong with it.

    `add` names the list that gets one more row. `overtaken`: somebody else wrote meanwhile, `since`. `used`: the key was used with other words.
    """

    pairs: Pairs
    key: str
    faults: Sequence[FieldFault] = ()
    refusals: Sequence[Refusal] = ()
    since: Sequence[EntryView] = ()
    add: str = ""
    overtaken: bool = False
    used: bool = False

    @property
    def status(self) -> int:
        if self.overtaken:
            return 412
        return 422 if self.faults else 409 if self.refusals or self.used else 200

    def context(self) -> dict[str, Any]:
        """What every template of a form takes."""
        soft = bool(self.refusals) and all(each.severity == "soft" for each in self.refusals)
        asked = [each.rule for each in self.refusals] if soft else []
        return {
            "form": self,
            "overriding": list(dict.fromkeys([*self.pairs.get(OVERRIDE, ()), *asked])),
            "overridable": soft,
            "why": next(iter(self.pairs.get(WHY, ())), ""),
            "why_error": " ".join(each.text(gettext) for each in self.faults if each.name == WHY),
            "proposable": proposable(self.refusals),
        }


class SentForm(msgspec.Struct, frozen=True):
    """The posted pairs. A name may stand several times."""

    pairs: dict[str, list[str]]

    def one(self, name: str) -> str:
        return typed(self.pairs, name)

    @property
    def version(self) -> int | None:
        return int(self.one(VERSION)) if _NUMBER.fullmatch(self.one(VERSION)) else None

    def override(self) -> tuple[Override | None, list[FieldFault]]:
        """The rules that are passed over, with the reason; a fault if it is missing."""
        rules, why = tuple(dict.fromkeys(self.pairs.get(OVERRIDE, ()))), self.one(WHY)
        if not rules:
            return None, []
        return Override(rules=rules, reason=why), [] if why else [FieldFault(WHY, FILL_IN)]

    def to_keep(self) -> list[tuple[str, str]]:
        """What a draft keeps of it: everything that was typed, and the key."""
        return [(name, value) for name, values in self.pairs.items() if name not in interrupted.NOT_KEPT for value in values]

    def shown(self, **more: Any) -> ShownForm:
        """The form again, with everything that was typed."""
        return ShownForm(**{"pairs": self.pairs, "key": self.key, "add": self.one(ADD), **more})

    @property
    def key(self) -> str:
        """The key of the form; a new one if it has none that can be one."""
        return self.one(KEY) if _KEY.fullmatch(self.one(KEY)) else new_key()

    @property
    def body(self) -> str:
        """The digest of what was typed, without what each page makes anew."""
        words = sorted((name, values) for name, values in self.pairs.items() if name not in {FIELD, KEY})
        return hashlib.sha256(msgspec.json.encode(words)).hexdigest()


def kept(draft: DraftView) -> SentForm:
    """The form that somebody began."""
    return SentForm(grouped(draft.pairs))


def new_key() -> str:
    """The key of a form that is shown: sent twice, it counts once."""
    return secrets.token_urlsafe(18)


async def sent_form(request: PageRequest) -> SentForm:
    return SentForm(grouped((await request.form()).multi_items()))


async def attempted(
    request: PageRequest,
    course_id: str,
    form: SentForm,
    work: Awaitable[Any],
    faults: Callable[[CommandInvalid], Sequence[FieldFault]],
) -> ShownForm | None:
    """Waits for what writes a form about a course. Returns the form as it is shown again, or None if it was written."""
    try:
        await work
    except CommandInvalid as invalid:
        return form.shown(faults=faults(invalid))
    except TransitionRefused as refused:
        return form.shown(refusals=refused.refusals)
    except StaleVersion:
        since = await services_of(request).deeds.since(principal_of(request), course_id, form.version or 0)
        return form.shown(overtaken=True, since=since, key=new_key())
    except KeyReused:
        return form.shown(used=True, key=new_key())
    return None


def key_of(request: PageRequest, principal: Principal, sent: SentForm) -> IdempotencyKey:
    """The key that counts: that of the form, for this person, role and page."""
    scope = "\n".join([principal.person, principal.role, request.method, request.scope["path"], sent.key])
    return IdempotencyKey(hashlib.sha256(scope.encode()).hexdigest(), sent.body)


def write_of(request: PageRequest, principal: Principal, sent: SentForm, *commands: Command) -> Write:
    """The write of a form, as the service takes it: the same that HTTP makes."""
    names = tuple(each.trigger for each in commands)
    rows = [row_of(name) for name in names]
    decode: Callable[[], tuple[Command, ...]] = lambda: commands  # noqa: E731
    request.scope["ipt_log"] = {"trigger": ",".join(names)[:200]}  # type: ignore[typeddict-unknown-key]
    return Write(
        decode=decode,
        triggers=names,
        version=sent.version,
        version_required=not all(row is not None and row.never_blocked for row in rows),
        key=key_of(request, principal, sent),
        entries_only=True,
    )
