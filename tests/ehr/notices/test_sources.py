"""Who may send notices: three kinds of signatures, rotated keys, and everything else answered 401 or 400."""

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook
from support import databases
from support.ehr_sender import Ehr, course, inbox, journal, started, status
from support.http_client import OPERATOR, running

from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.notices.sources import NewSource, SourceChange, SourceRotation, Sources
from ipt_workflow.errors import CommandInvalid, NotFound
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import lookups

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "standard-webhooks" / "vectors.json").read_text(encoding="utf-8"))
CONSENT = {"type": "consent.given", "timestamp": "2026-01-05T09:00:00Z", "data": {"client_ref": "EHR-1", "scope": "sharing"}}
ENCOUNTER = {"resourceType": "Encounter", "id": "E1", "status": "in-progress", "subject": {"reference": "Patient/EHR-1"}}


@pytest.fixture
def clocked(api):
    """Runs a test on a clock that does not move by itself."""
    return lambda test: api(test, VirtualClock(START))


def on(settings, test):
    """Runs a test on a service with these settings."""

    async def inside():
        async with running(settings, VirtualClock(START)) as api:
            return await test(api)

    return asyncio.run(inside())


def has_come(body: bytes) -> Callable[[], Awaitable[bytes]]:
    """Reads a body that is there already."""

    async def read() -> bytes:
        return body

    return read


def is_unauthenticated(answer) -> None:
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated"), answer.text


# Standard Webhooks


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["scheme"])
def test_the_published_vectors_are_authentic(api, vector):
    async def test(api):
        key = vector.get("secret") or f"whpk_{vector['public_key_base64']}"
        ehr = await Ehr.register(api, secret=key)
        headers = {
            "webhook-id": vector["id"],
            "webhook-timestamp": str(vector["timestamp"]),
            "webhook-signature": vector["signature"],
            "content-type": "application/json",
        }
        answer = await ehr.post("/v1/ehr/notices/north", vector["body"].encode(), headers)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")  # authentic, but of no type of ours
        tampered = await ehr.post("/v1/ehr/notices/north", vector["body"].encode() + b" ", headers)
        is_unauthenticated(tampered)

    api(test, VirtualClock(dt.datetime.fromtimestamp(VECTORS[0]["timestamp"], dt.UTC)))


def test_an_ed25519_key_is_one_and_so_are_several_signatures(clocked):
    async def test(api):
        course = await started(api)
        assert course
        private = signatures.read_key(signatures.mint_private())
        ehr = await Ehr.register(api, secret=private.public)
        raw = json.dumps(CONSENT).encode()
        headers = signatures.Signer([private]).headers("msg_1", int(api.clinic.clock.now().timestamp()), raw)
        headers["webhook-signature"] = f"v1,{'A' * 44} {headers['webhook-signature']} v9,x"
        answer = await ehr.post("/v1/ehr/notices/north", raw, {**headers, "content-type": "application/json"})
        assert status(answer) == "applied"

    clocked(test)


@pytest.mark.parametrize("seconds", (-301, 301, -86_400))
def test_a_message_from_another_time_is_not_authentic(clocked, seconds):
    async def test(api):
        ehr = await Ehr.register(api)
        raw = json.dumps(CONSENT).encode()
        at = api.clinic.clock.now() + dt.timedelta(seconds=seconds)
        signature = Webhook(ehr.secret).sign("msg_1", at, raw.decode())
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
        is_unauthenticated(await ehr.post("/v1/ehr/notices/north", raw, {**headers, "content-type": "application/json"}))

    clocked(test)


def test_an_unknown_source_is_answered_like_a_wrong_signature(clocked):
    async def test(api):
        ehr = await Ehr.register(api)
        wrong = Ehr(api, "north", ehr.kind, signatures.mint_shared())
        unknown = Ehr(api, "nowhere", ehr.kind, ehr.secret)
        answers = [await each.send(CONSENT) for each in (wrong, unknown)]
        of_wrong, of_unknown = ({**answer.json(), "instance": ""} for answer in answers)
        assert of_wrong == of_unknown
        is_unauthenticated(answers[0])
        for path in ("/v1/ehr/notices/north", "/v1/ehr/fhir/north", "/v1/ehr/fhir/north/Encounter/E1"):
            is_unauthenticated(await api.client.post(path, json=CONSENT, headers={"accept": "application/json"}))
            is_unauthenticated(
                await api.post(path, CONSENT, "ehr", accept="application/json")
            )  # a bearer token of ours is no signature
        assert (
            'ipt_notices_refused_total{reason="not_authentic",source="unknown"} 8.0' in (await api.get("/metrics", "auditor")).text
        )
        assert await inbox(api) == []

    clocked(test)


# Keys


def test_after_a_rotation_both_keys_are_taken_until_the_overlap_ends(clocked):
    async def test(api):
        await started(api)
        old = await Ehr.register(api)
        made = await Sources(api.clinic).rotate(OPERATOR, "north", SourceRotation)
        new = Ehr(api, "north", old.kind, made.secret)
        new.sent = 100
        for ehr in (old, new):
            assert status(await ehr.send(CONSENT)) == "applied"
        api.clinic.clock.advance(dt.timedelta(hours=24, seconds=1))
        is_unauthenticated(await old.send(CONSENT))
        assert status(await new.send(CONSENT)) == "applied"
        (view,) = await Sources(api.clinic).page(OPERATOR)
        assert [key.kind for key in view.keys] == ["standard-webhooks"]

    clocked(test)


def test_a_key_of_another_kind_is_valid_beside_the_first(clocked):
    async def test(api):
        first = await Ehr.register(api)
        made = await Sources(api.clinic).rotate(OPERATOR, "north", lambda: SourceRotation(kind="bearer"))
        for ehr in (first, Ehr(api, "north", "bearer", made.secret)):
            assert status(await ehr.fhir(ENCOUNTER)) == "ignored"

    clocked(test)


def test_a_disabled_source_is_nobody_until_it_is_enabled(clocked):
    async def test(api):
        await started(api)
        ehr = await Ehr.register(api)
        await Sources(api.clinic).disable(OPERATOR, "north")
        is_unauthenticated(await ehr.send(CONSENT))
        await Sources(api.clinic).enable(OPERATOR, "north")
        assert status(await ehr.send(CONSENT)) == "applied"

    clocked(test)


def test_what_is_no_key_and_what_is_taken_are_refused(clocked):
    async def test(api):
        sources = Sources(api.clinic)
        await Ehr.register(api)
        for values in (
            {"id": "north"},
            {"id": "south", "secret": "whsec_" + "short" * 6},
            {"id": "south", "secret": signatures.mint_private()},
        ):
            new = msgspec.convert(values, NewSource)
            with pytest.raises(CommandInvalid):
                await sources.add(OPERATOR, lambda new=new: new)
        with pytest.raises(NotFound):
            await sources.rotate(OPERATOR, "south", SourceRotation)
        with pytest.raises(NotFound):
            await sources.disable(OPERATOR, "south")

    clocked(test)


def test_secrets_are_sealed_where_the_operator_gave_a_key_and_tokens_are_kept_as_digests(api, tmp_path):
    async def test(api):
        for kind in ("standard-webhooks", "x-signature", "bearer"):
            ehr = await Ehr.register(api, f"{kind}", kind)
            stored = (tmp_path / "ipt.db").read_bytes() + (tmp_path / "ipt.db-wal").read_bytes()
            assert (ehr.secret.encode() in stored) == (kind != "bearer")

    api(test)


def test_a_key_that_cannot_be_opened_does_not_stand_in_the_way_of_another(tmp_path):
    """The operator lost a key of IPT_SECRET_KEYS: what it sealed is unreadable, what is under the other key is not."""
    lost, kept = (Fernet.generate_key().decode() for _ in range(2))
    before = databases.empty(tmp_path).model_copy

    async def register(api):
        return [(kind, (await Ehr.register(api, kind, kind)).secret) for kind in ("standard-webhooks", "x-signature")]

    async def rotate(api):
        return [(await Sources(api.clinic).rotate(OPERATOR, kind, SourceRotation)).secret for kind, _ in old]

    async def send(api):
        for (kind, unreadable), readable in zip(old, new, strict=True):
            assert status(await Ehr(api, kind, kind, readable).fhir(ENCOUNTER, "POST")) == "ignored"
            for secret in (unreadable, signatures.mint_shared()):
                assert (await Ehr(api, kind, kind, secret).fhir(ENCOUNTER, "POST")).status_code == 503

    old = on(before(update={"secret_keys": lost}), register)
    new = on(before(update={"secret_keys": f"{kept},{lost}"}), rotate)
    on(before(update={"secret_keys": kept}), send)


def test_what_one_process_changes_holds_for_the_next_message_to_another(settings):
    async def test(api):
        await started(api)
        ehr = await Ehr.register(api)
        assert status(await ehr.send(CONSENT)) == "applied"  # its key is known to this process from now on
        other = Sources(await open_clinic(settings, api.clinic.clock))
        try:
            await other.disable(OPERATOR, "north")
            is_unauthenticated(await ehr.send(CONSENT))
            await other.enable(OPERATOR, "north")
            assert status(await ehr.send(CONSENT)) == "applied"
            made = await other.rotate(OPERATOR, "north", lambda: SourceRotation(overlap_hours=0))
            is_unauthenticated(await ehr.send(CONSENT))
            ehr.secret = made.secret
            assert status(await ehr.send(CONSENT)) == "applied"
        finally:
            await other.clinic.installation.close()

    on(settings, test)


def test_many_messages_at_once_share_their_lookups(clocked):
    async def test(api):
        sources = Sources(api.clinic)
        senders = [await Ehr.register(api, f"s-{n}", "bearer") for n in range(5)]
        statements = []
        fetched = api.clinic.installation.database.find

        async def find(lookup, organisation, ids):
            statements.append((lookup, sorted(ids)))
            return await fetched(lookup, organisation, ids)

        api.clinic.installation.database.find = find
        asked = [sources.verify(ehr.name, ehr.proof(b"{}"), has_come(b"{}")) for ehr in senders * 20]
        found = await asyncio.gather(*asked)
        assert [sender.source.id for sender, _ in found] == [ehr.name for ehr in senders * 20]
        assert all(lookup is lookups.SOURCES for lookup, _ in statements)
        assert len(statements) <= 2

    clocked(test)


def test_an_unknown_source_costs_the_same_lookup_and_the_same_proof(clocked, monkeypatch):
    async def test(api):
        proved = []
        matches = signatures.SharedKey.matches
        monkeypatch.setattr(signatures.SharedKey, "matches", lambda *given: proved.append(given) or matches(*given))
        for kind in ("standard-webhooks", "x-signature"):
            known = await Ehr.register(api, kind, kind)
            await Sources(api.clinic).disable(OPERATOR, (await Ehr.register(api, f"{kind}-off", kind)).name)
            counts, answers = [], []
            for name in (kind, "nowhere", f"{kind}-off"):
                proved.clear()
                wrong = Ehr(api, name, kind, signatures.mint_shared())
                answer = await wrong.fhir(ENCOUNTER, "POST")
                is_unauthenticated(answer)
                answers.append({**answer.json(), "instance": ""})
                counts.append(len(proved))
            assert counts == [1, 1, 1]
            assert answers[0] == answers[1] == answers[2]
            assert status(await known.fhir(ENCOUNTER, "POST")) == "ignored"

    clocked(test)


# Settings


def test_a_source_has_a_random_key_for_digests_that_is_never_shown(clocked):
    async def test(api):
        shown = [await Sources(api.clinic).add(OPERATOR, lambda name=name: NewSource(id=name)) for name in ("north", "south")]
        kept = [(await api.clinic.sources.get(each.source.id)).source for each in shown]
        assert [len(each.digest_key) for each in kept] == [32, 32]
        assert kept[0].digest_key != kept[1].digest_key
        assert all("digest" not in msgspec.json.encode(each).decode() for each in shown)

    clocked(test)


def test_a_change_of_settings_holds_for_the_next_message_and_is_recorded_with_its_values(clocked):
    async def test(api):
        ehr, sources = await Ehr.register(api, kind="bearer"), Sources(api.clinic)
        assert (await sources.one(OPERATOR, "north")).other_visits == "wait"
        for change in (SourceChange(other_visits="ignore", all_visits=True), SourceChange(all_visits=True), SourceChange()):
            view = await sources.change(OPERATOR, "north", lambda change=change: change)
            assert (view.names_persons, view.all_visits, view.other_visits) == (False, True, "ignore")
        seen = (await sources.verify("north", ehr.proof(b""), has_come(b"")))[0].source
        assert (seen.names_persons, seen.all_visits, seen.other_visits) == (False, True, "ignore")
        recorded = (await api.get("/v1/audit?kind=config", "auditor")).json()["items"]
        assert [each["action"] for each in recorded if "changed" in each["action"]] == [
            "source north changed: all_visits on, other_visits ignore"
        ]

    clocked(test)


def test_a_rotation_without_a_kind_replaces_the_newest_key(clocked):
    async def test(api):
        ehr = await Ehr.register(api, kind="x-signature")
        made = await Sources(api.clinic).rotate(OPERATOR, "north", lambda: SourceRotation(overlap_hours=0))
        assert [key.kind for key in made.source.keys] == ["x-signature"]
        is_unauthenticated(await ehr.fhir(ENCOUNTER, "POST"))
        ehr.secret = made.secret
        assert status(await ehr.fhir(ENCOUNTER, "POST")) == "ignored"

    clocked(test)


# X-Signature and bearer tokens


@pytest.mark.parametrize("kind", ("x-signature", "bearer", "standard-webhooks"))
def test_fhir_messages_are_known_by_any_kind_of_key(clocked, kind):
    async def test(api):
        course_id = await started(api)
        ehr = await Ehr.register(api, kind=kind, all_visits=True)
        finished = {**ENCOUNTER, "status": "finished", "period": {"start": START.isoformat()}}
        assert status(await ehr.fhir(finished, "POST")) == "applied"
        assert len((await course(api, course_id))["sessions"]) == 1
        ehr.secret = ehr.secret[:-3] + ("AA=" if kind == "standard-webhooks" else "xxx")
        is_unauthenticated(await ehr.fhir({**finished, "id": "E2"}, "POST"))

    clocked(test)


def test_only_standard_webhooks_may_send_our_own_types(clocked):
    async def test(api):
        for kind in ("x-signature", "bearer"):
            ehr = await Ehr.register(api, kind, kind)
            raw = json.dumps(CONSENT).encode()
            headers = {**ehr.proof(raw), "content-type": "application/json", "webhook-id": "msg_1"}
            is_unauthenticated(await ehr.post(f"/v1/ehr/notices/{kind}", raw, headers))

    clocked(test)


def test_a_wrong_proof_is_final_even_if_another_holds(clocked):
    async def test(api):
        ehr = await Ehr.register(api, kind="bearer")
        is_unauthenticated(await ehr.fhir(ENCOUNTER, "POST", **{"x-signature": "00"}))

    clocked(test)


def test_medplum_posts_versions_and_deletes_by_a_header_that_no_signature_reaches(clocked):
    async def test(api):
        course_id = await started(api)
        ehr = await Ehr.register(api, kind="x-signature", all_visits=True)
        finished = {
            **ENCOUNTER,
            "status": "finished",
            "period": {"start": START.isoformat()},
            "meta": {"versionId": "e5c0", "lastUpdated": START.isoformat()},
        }
        for _ in range(2):  # a replay is recognised by its version
            assert (
                status(await ehr.fhir(finished, "POST", **{"X-Medplum-Subscription": "S", "X-Medplum-Interaction": "create"}))
                == "applied"
            )
        assert len((await course(api, course_id))["sessions"]) == 1
        gone = {"X-Medplum-Interaction": "delete", "X-Medplum-Deleted-Resource": "Encounter/E1"}
        assert status(await ehr.fhir({}, "POST", path="", **gone)) == "waiting"
        assert len((await course(api, course_id))["sessions"]) == 1
        assert (await ehr.fhir({}, "POST", path="", **{**gone, "X-Medplum-Deleted-Resource": "Encounter/E9"})).json()["id"] is None

    clocked(test)


def test_a_hook_without_a_payload_is_answered(clocked):
    async def test(api):
        ehr = await Ehr.register(api, kind="bearer")
        assert (await ehr.fhir(None, "POST", path="")).json() == {"id": None, "status": "ignored"}

    clocked(test)


# Bodies


def test_a_body_that_is_too_large_is_refused_before_anything_is_read_of_it(clocked):
    async def test(api):
        ehr = await Ehr.register(api)
        answer = await ehr.send(b'{"a": "' + b"x" * 300_000 + b'"}')
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
        fhir = await ehr.fhir(b" " * 4_194_305, "POST", path="")
        assert fhir.status_code == 413
        assert 'reason="too_large",source="unknown"} 2.0' in (await api.get("/metrics", "auditor")).text

    clocked(test)


@pytest.mark.parametrize(
    ("raw", "kind", "slug"),
    (
        (b"{", "application/json", "malformed"),
        (b"[]", "application/json", "malformed"),
        (b"\xff\xfe", "application/json", "malformed"),
        (b"[" * 100_000, "application/json", "malformed"),
        (b'{"type": "appointment.fullfilled"}', "application/json", "invalid"),
        (
            json.dumps({**CONSENT, "data": {**CONSENT["data"], "scope": "everything", "more": 1}}).encode(),
            "application/json",
            "invalid",
        ),
        (json.dumps({**CONSENT, "timestamp": "0001-01-01T00:00:00+23:00"}).encode(), "application/json", "invalid"),
        (json.dumps(CONSENT).encode(), "text/plain", "unsupported-media-type"),
    ),
)
def test_an_authentic_notice_that_cannot_be_used_is_answered_counted_and_kept(clocked, raw, kind, slug):
    async def test(api):
        ehr = await Ehr.register(api)
        headers = {**ehr.signed(raw, "msg_1"), "content-type": kind} if b"\xff" not in raw else signed_bytes(ehr, raw)
        answer = await ehr.post("/v1/ehr/notices/north", raw, headers)
        assert answer.json()["type"] == f"/problems/{slug}"
        (kept,) = await inbox(api)
        assert (kept["type"], kept["status"]) == ("unreadable", "waiting")
        again = await ehr.post("/v1/ehr/notices/north", raw, headers)
        assert again.json() == {"id": kept["id"], "status": "waiting"}
        reason = {"unsupported-media-type": "media_type"}.get(slug, slug)
        assert f'ipt_notices_refused_total{{reason="{reason}",source="north"}} 1.0' in (await api.get("/metrics", "auditor")).text

    clocked(test)


def signed_bytes(ehr, raw: bytes) -> dict[str, str]:
    key = signatures.read_key(ehr.secret)
    headers = signatures.Signer([key]).headers("msg_1", int(ehr.api.clinic.clock.now().timestamp()), raw)
    return {**headers, "content-type": "application/json"}


def test_a_limited_number_of_notices_of_a_source_may_wait_and_what_is_applied_or_shows_risk_is_never_refused(clocked):
    async def test(api):
        await started(api)
        ehr, other = await Ehr.register(api), await Ehr.register(api, "south")
        object.__setattr__(api.clinic.settings, "notices_waiting_max", 2)
        for number in range(2):
            assert status(await ehr.notify("consent.given", {"client_ref": f"EHR-9{number}", "scope": "sharing"})) == "waiting"
        unknown = {"client_ref": "EHR-93", "scope": "sharing"}
        full = await ehr.notify("consent.given", unknown, key="msg_full")
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert status(await ehr.send(CONSENT)) == "applied"
        risk = {"instrument": "phq9", "items": [0] * 8 + [3], "taken_at": START.isoformat()}
        for ref in ("EHR-1", "EHR-93"):
            answer = await ehr.notify("measure.completed", {**risk, "client_ref": ref, "ref": f"Form/{ref}"})
            assert status(answer) == ("applied" if ref == "EHR-1" else "waiting")
        assert status(await other.notify("consent.given", unknown)) == "waiting"
        object.__setattr__(api.clinic.settings, "notices_waiting_max", 10)
        assert status(await ehr.notify("consent.given", unknown, key="msg_full")) == "waiting"

    clocked(test)


TEXT = st.text(st.characters(codec="latin-1", exclude_categories=("Cc",)), max_size=60).map(
    lambda text: text.strip().encode("latin-1")
)
SIGNATURES = st.one_of(TEXT, st.sampled_from([b"v1", b"garbage", b"v1,", b"v1a,AAAA", b",", b"v1,=== v1,x", b"v1," + b"A" * 44]))
TIMES = st.one_of(TEXT, st.sampled_from([b"1767603600", b"1767603600.7", b"-1", b"", b"1e9", b"9" * 40, b" 1767603600 "]))
BODIES = st.one_of(st.binary(max_size=60), st.just(json.dumps(CONSENT).encode()))


def test_no_header_time_or_body_brings_it_down(clocked):
    async def test(api):
        ehr = await Ehr.register(api)
        bearer = await Ehr.register(api, "south", "bearer")
        loop_runs = []

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            message=TEXT,
            time=TIMES,
            signature=SIGNATURES,
            body=BODIES,
            kind=st.sampled_from(["application/json", "text/xml", "", "a/b;c"]),
        )
        def unsigned(message, time, signature, body, kind):
            headers = [
                (b"webhook-id", message),
                (b"webhook-timestamp", time),
                (b"webhook-signature", signature),
                (b"content-type", kind.encode()),
            ]
            loop_runs.append((headers, body, False))

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(body=st.one_of(st.binary(max_size=80), JSONS.map(lambda value: json.dumps(value).encode())))
        def signed(body):
            loop_runs.append(([], body, True))

        unsigned()
        signed()
        for headers, body, authentic in loop_runs:
            if authentic:
                answers = [
                    await ehr.post("/v1/ehr/notices/north", body, signed_again(ehr, body)),
                    await bearer.fhir(body, "POST", path=""),
                    await bearer.fhir(body, "PUT", path="/Encounter/1"),
                ]
                assert all(answer.status_code in {202, 400, 409, 422} for answer in answers), [answer.text for answer in answers]
            else:
                answer = await api.client.post("/v1/ehr/notices/north", content=body, headers=headers)
                assert answer.status_code in {400, 401}, answer.text

    clocked(test)


def signed_again(ehr, raw: bytes) -> dict[str, str]:
    ehr.sent += 1
    key = signatures.read_key(ehr.secret)
    headers = signatures.Signer([key]).headers(f"msg_{ehr.sent}", int(ehr.api.clinic.clock.now().timestamp()), raw)
    return {**headers, "content-type": "application/json"}


KINDS = (
    "Encounter",
    "Appointment",
    "QuestionnaireResponse",
    "Observation",
    "ServiceRequest",
    "EpisodeOfCare",
    "Patient",
    "Bundle",
    "Basic",
)
FIELDS = (
    "status",
    "id",
    "meta",
    "subject",
    "patient",
    "period",
    "start",
    "item",
    "code",
    "type",
    "class",
    "participant",
    "link",
    "entry",
    "authored",
    "component",
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(["finished", "2026-01-05", "0001-01-01T00:00:00+23:59", "Patient/1"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["reference", "coding", "system", "code", "start", "resource", "answer", "lastUpdated", "versionId"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)
JSONS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"resourceType": st.sampled_from(KINDS)}, optional=dict.fromkeys(FIELDS, VALUES)),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["consent.given", "measure.completed", "nothing"]), "timestamp": VALUES, "data": VALUES}
    ),
)


def test_the_content_of_a_notice_is_not_in_logs_nor_kept_after_it_was_applied(clocked, tmp_path, capfd):
    async def test(api):
        course_id = await started(api)
        ehr = await Ehr.register(api)
        said = {"client_ref": "EHR-1", "ref": "A/1", "start": START.isoformat(), "comment": "Spoke of the divorce."}
        assert status(await ehr.notify("appointment.fulfilled", said)) == "applied"
        assert status(await ehr.notify("appointment.fulfilled", {**said, "client_ref": "EHR-secret", "ref": "A/2"})) == "waiting"
        assert (await journal(api, course_id))[-1]["data"]["comment"] == "Spoke of the divorce."
        rows = await api.clinic.database.read(lambda c: list(c.exec_driver_sql("SELECT status, body FROM notice ORDER BY id")))
        assert [(row[0], row[1] is None) for row in rows] == [("applied", True), ("waiting", False)]
        events = await api.clinic.database.read(lambda c: str(list(c.exec_driver_sql("SELECT * FROM audit_event"))))
        assert "divorce" not in events
        assert "EHR-secret" not in events

    clocked(test)
    logged = capfd.readouterr()
    assert "divorce" not in logged.out + logged.err
    assert "EHR-secret" not in logged.out + logged.err
