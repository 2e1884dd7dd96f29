"""Checking that the records are as they were written: begun here, with its progress, and the results of before."""

from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.audit.verifications import VerificationRun
from ipt_workflow.store.verification_rounds import RoundView
from ipt_workflow.web.language import _, n_, number
from ipt_workflow.web.pages import PageRequest, page, redirect

SHOWN = 20


@get("/audit/verifications", include_in_schema=False)
async def verifications(request: PageRequest) -> Response[bytes]:
    """The button that begins one, and the verifications that began last."""
    services = services_of(request)
    found = await services.audit_log.verifications.newest(principal_of(request), SHOWN)
    names = await services.audit_names.of([each.person for each in found], [each.course for each in found if each.course])
    runs = [
        {
            "run": each,
            "who": names.person(each.person),
            "of": names.clients.get(each.course) or _("one course") if each.course else _("everything"),
            "result": result(each),
        }
        for each in found
    ]
    background = await services.audit_log.verifications.background(principal_of(request))
    return page(request, "audit/verifications.html", runs=runs, background=background, read=percent(background))


@post("/audit/verifications", include_in_schema=False, status_code=303)
async def begin(request: PageRequest) -> Response[None]:
    """Begins to check everything, or one course."""
    form = await request.form()
    begun = await services_of(request).audit_log.verifications.begin(principal_of(request), str(form.get("course") or "") or None)
    return redirect(request, f"/audit/verifications/{begun.id}")


@get("/audit/verifications/{run_id:str}", include_in_schema=False)
async def verification(request: PageRequest, run_id: FromPath[str]) -> Response[bytes]:
    """How far one is, or what it found."""
    services = services_of(request)
    found = await services.audit_log.verifications.one(principal_of(request), run_id)
    names = await services.audit_names.of([found.person], [])
    return page(
        request,
        "audit/verification.html",
        run=found,
        who=names.person(found.person),
        result=result(found),
        progress=progress(found),
    )


def percent(background: RoundView | None) -> str:
    """How much of its round the verifier in the background has read."""
    return number(int(background.share * 100)) if background else ""


def progress(run: VerificationRun) -> str:
    return n_(
        "%(done)s of %(num)s course checked", "%(done)s of %(total)s courses checked", run.total, done=number(run.courses),
        total=number(run.total),
    )  # fmt: skip


def result(run: VerificationRun) -> str:
    """What a verification found, in a sentence."""
    if run.status == "running":
        return _("Running: %(progress)s.", progress=progress(run))
    if run.status == "stopped":
        return _("Broke off: %(progress)s.", progress=progress(run))
    if run.ok and run.since is not None:
        return _("All that was new is as it was written (places in the log: %(leaves)s).", leaves=number(run.leaves or 0))
    if run.ok:
        return _(
            "All is as it was written (steps: %(entries)s, courses: %(courses)s).",
            entries=number(run.entries),
            courses=number(run.courses),
        )
    return _("Not as it was written. Look at the first step that is wrong.")


HANDLERS = (verifications, begin, verification)
