"""The verbs about retention policies: read the examples, put one in force, end one. None is in force until somebody decides so."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import msgspec

from ipt_workflow.access import retention
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.retention import NewRetentionPolicy
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime.documents import toml_table
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import retention as stored
from ipt_workflow.store.retention import StoredPolicy
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.values.faults import shaped

READ, CHANGE = "read retention", "decide retention"
TERMS = ("name", "kind", "jurisdiction", "bound", "period", "anchor", "citation")  # of a policy, in the audit log
NO_POLICY = "No retention policy of this name is in force."
IN_FORCE = Fault("name", "is that of a policy in force: end that one first, or choose another name")


class RetentionPolicyView(NewRetentionPolicy, frozen=True, kw_only=True):
    """A policy of an organisation. `means` says in words what it is about. It is `in_force` until it has ended."""

    means: str
    in_force: bool
    adopted_by: str
    adopted_at: dt.datetime
    ended_by: str | None
    ended_at: dt.datetime | None


class PolicyPreview(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that could be put in force, and how many are in force beside it."""

    policy: NewRetentionPolicy
    means: str
    beside: int


class RetentionExamples(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of examples."""

    policies: tuple[NewRetentionPolicy, ...]


def examples(path: Path) -> tuple[NewRetentionPolicy, ...]:
    """The policies in a file of examples; none if there is no such file. Raises CommandInvalid with the faults of the file."""
    try:
        table = toml_table(path)
    except FileNotFoundError:  # a configuration of before
        return ()
    except (OSError, ValueError) as error:
        raise CommandInvalid([Fault(path.name, f"cannot be read: {getattr(error, 'strerror', None) or error}")]) from None
    found = shaped(RetentionExamples, table, path.name).policies
    wrong = [
        Fault(f"{path.name}: {each.name}.{fault.where}", fault.message)
        for index, each in enumerate(found)
        for fault in retention.faults(each, [other for other in found[:index] if other.name == each.name])
    ]
    if wrong:
        raise CommandInvalid(wrong)
    return found


class RetentionPolicies:
    """The retention policies of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def examples(self, principal: Principal) -> tuple[NewRetentionPolicy, ...]:
        """Policies to begin with. They are no legal advice."""
        await self.clinic.require(principal, READ)
        return examples(self.clinic.settings.retention)

    async def every(self, principal: Principal, *, in_force: bool = True) -> list[RetentionPolicyView]:
        """The policies in force, or also those that have ended."""
        await self.clinic.require(principal, READ)
        found = await self.clinic.read(stored.policies, in_force=in_force)
        await self.clinic.log(principal, "read", "retention policies")
        return [_view(each) for each in found]

    async def preview(self, principal: Principal, decode: Callable[[], NewRetentionPolicy]) -> PolicyPreview:
        """What could be put in force. Raises CommandInvalid if it contradicts what is."""
        await self._may_change(principal)
        new, beside = await self._asked(decode)
        return PolicyPreview(policy=new, means=retention.MEANS[new.kind], beside=beside)

    async def adopt(self, principal: Principal, decode: Callable[[], NewRetentionPolicy]) -> RetentionPolicyView:
        """Puts a policy in force. Raises CommandInvalid if it contradicts another in force, PersonNeeded or ReauthenticationNeeded."""
        await self._may_change(principal)
        new, _ = await self._asked(decode)
        policy = StoredPolicy(
            **msgspec.structs.asdict(new),
            id=new_id(),
            adopted_by=principal.person,
            adopted_role=principal.role,
            adopted_at=self.clinic.clock.now(),
        )
        if not await self.clinic.write(stored.adopt, policy, self._record(principal, "retention policy adopted", new)):
            raise CommandInvalid([IN_FORCE])
        return _view(policy)

    async def end(self, principal: Principal, name: str) -> RetentionPolicyView:
        """Ends a policy. Raises NotFound if none of this name is in force, PersonNeeded or ReauthenticationNeeded."""
        await self._may_change(principal)
        found = {each.name: each for each in await self.clinic.read(stored.policies)}.get(name)
        if found is None:
            raise NotFound(NO_POLICY)
        now = self.clinic.clock.now()
        record = self._record(principal, "retention policy ended", found)
        if not await self.clinic.write(stored.end, name, principal.person, now, record):
            raise NotFound(NO_POLICY)
        return _view(msgspec.structs.replace(found, ended_at=now, ended_by=principal.person))

    async def _may_change(self, principal: Principal) -> None:
        await self.clinic.require(principal, CHANGE)
        await self.clinic.require_fresh(principal, CHANGE)

    async def _asked(self, decode: Callable[[], NewRetentionPolicy]) -> tuple[NewRetentionPolicy, int]:
        new = decode()
        in_force = await self.clinic.read(stored.policies)
        if faults := retention.faults(new, in_force):
            raise CommandInvalid(faults)
        return new, len(in_force)

    def _record(self, principal: Principal, action: str, policy: NewRetentionPolicy) -> LoggedEvent:
        terms = {name: getattr(policy, name) for name in TERMS}
        return msgspec.structs.replace(self.clinic.event(principal, "config", action, (), [policy.name]), details=terms)


def _view(policy: StoredPolicy) -> RetentionPolicyView:
    return RetentionPolicyView(
        **{name: getattr(policy, name) for name in NewRetentionPolicy.__struct_fields__},
        means=retention.MEANS[policy.kind],
        in_force=policy.ended_at is None,
        adopted_by=policy.adopted_by,
        adopted_at=policy.adopted_at,
        ended_by=policy.ended_by,
        ended_at=policy.ended_at,
    )
