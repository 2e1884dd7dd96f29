"""Launchers: the EHRs that may open courses of an organisation. They are kept in its settings."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow.access import launches, oidc
from ipt_workflow.access.launches import EhrSettings
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.access.sign_in import organisation_settings
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import organisations
from ipt_workflow.values.types import whole

LAUNCHERS_MAX = 50
NONE_SUCH = "No EHR of this address may open courses. `ipt-workflow launch list` shows those that may."
_Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=whole(r"[\x21-\x7e]+"))]


class NewLauncher(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An EHR that may open courses from now on. `iss` is the URL of its FHIR server, and `client_id` how it knows this service.

    Without a `secret`, this service proves itself by a key of its own. `client_prefix` and `knows_persons` are those of `EhrSettings`.
    """

    iss: _Text
    client_id: _Text
    secret: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    client_prefix: Annotated[str, Meta(max_length=64, pattern=whole(r"[!-~]*"))] = ""
    knows_persons: bool = False


class LauncherView(msgspec.Struct, frozen=True, kw_only=True):
    """An EHR that may open courses, without secrets."""

    iss: str
    client_id: str
    authentication: str
    client_prefix: str
    knows_persons: bool


class Launchers:
    """Manages the EHRs that may open courses of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._box = SecretBox(listed(clinic.settings.secret_keys))

    async def add(self, principal: Principal, decode: Callable[[], NewLauncher]) -> LauncherView:
        """Adds an EHR, or replaces what was known of it. Raises CommandInvalid."""
        await self.clinic.require(principal, "manage systems")
        new = decode()
        reach_of(self.clinic.settings).check(new.iss, "iss")
        made = EhrSettings(
            iss=new.iss,
            client_id=new.client_id,
            authentication="client_secret_basic" if new.secret else "private_key_jwt",
            secret=self._box.seal(new.secret or oidc.new_private_key("P-384")),
            client_prefix=new.client_prefix,
            knows_persons=new.knows_persons,
        )
        await self._change(lambda known: (*_without(known, new.iss), made))
        await self.clinic.log(principal, "config", "EHR that opens courses added")
        return _view(made)

    async def every(self, principal: Principal) -> list[LauncherView]:
        await self.clinic.require(principal, "manage systems")
        return [_view(each) for each in (await organisation_settings(self.clinic)).launch]

    async def remove(self, principal: Principal, iss: str) -> None:
        """Lets an EHR open no more courses. Raises NotFound."""
        await self.clinic.require(principal, "manage systems")
        if not any(launches.same(each.iss, iss) for each in (await organisation_settings(self.clinic)).launch):
            raise NotFound(NONE_SUCH)
        await self._change(lambda known: _without(known, iss))
        await self.clinic.log(principal, "config", "EHR that opens courses removed")

    async def _change(self, change: Callable[[tuple[EhrSettings, ...]], tuple[EhrSettings, ...]]) -> None:
        """Changes the list, whoever else changes the organisation meanwhile, and leaves its other settings as they are."""
        while True:
            row = await self.clinic.database.read(organisations.find, self.clinic.organisation)
            assert row is not None
            settings = msgspec.json.decode(row.settings)
            changed = change(msgspec.convert(settings.get("launch", ()), tuple[EhrSettings, ...]))
            if len(changed) > LAUNCHERS_MAX:
                raise CommandInvalid([Fault("iss", f"is one too many: at most {LAUNCHERS_MAX} EHRs may open courses")])
            content = msgspec.json.encode({**settings, "launch": changed})
            if await self.clinic.database.write(
                organisations.change, msgspec.structs.replace(row, settings=content, version=row.version + 1)
            ):
                return


def _without(known: tuple[EhrSettings, ...], iss: str) -> tuple[EhrSettings, ...]:
    return tuple(each for each in known if not launches.same(each.iss, iss))


def _view(ehr: EhrSettings) -> LauncherView:
    return LauncherView(
        iss=ehr.iss,
        client_id=ehr.client_id,
        authentication=ehr.authentication,
        client_prefix=ehr.client_prefix,
        knows_persons=ehr.knows_persons,
    )
