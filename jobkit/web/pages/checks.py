"""The checks as pages: what the doctor finds, and whether what was committed is what should be."""

from __future__ import annotations

from jobkit.ops.diagnosis import diagnose
from jobkit.ops.verify import verify
from jobkit.ports.diagnosis import Status
from jobkit.web.page import Page, View

# They ask much of the backends, so what they found is shown for a while.
_DOCTOR_SECONDS = 30.0
_VERIFY_SECONDS = 300.0


async def make(view: View) -> Page:
    """Return what the doctor finds."""
    backstage = view.backstage
    findings = await backstage.looks.look(
        "doctor",
        lambda: diagnose(backstage.settings, backstage.clock, lambda: backstage.registry),
        fresh=_DOCTOR_SECONDS,
    )
    bad = [one for one in findings if one.status in (Status.FAIL, Status.UNREACHABLE)]
    shows = {"findings": sorted(findings, key=lambda one: _ORDER.index(one.status)), "healthy": not bad}
    return Page("doctor.html", "Checks", shows, live=False)


async def make_verify(view: View) -> Page:
    """Return what verifying finds; it reads everything, and only where somebody has asked for it."""
    if view.said("run") is None:
        return Page("verify.html", "Verify", {"verdict": None}, live=False)
    backstage = view.backstage
    verdict = await backstage.looks.look(
        "verify",
        lambda: verify(view.planes, backstage.registry.projections(), backstage.clock),
        fresh=_VERIFY_SECONDS,
    )
    return Page("verify.html", "Verify", {"verdict": verdict}, live=False)


_ORDER = (Status.UNREACHABLE, Status.FAIL, Status.WARN, Status.OK)
