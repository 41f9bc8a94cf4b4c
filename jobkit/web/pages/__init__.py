"""The pages there are, in the order of the navigation."""

from jobkit.web.page import Place
from jobkit.web.pages import audit, checks, dead, drill, group, groups, job, jobs, key, overview, steering, workers

PLACES = (
    Place("/", overview.make, "Overview"),
    Place("/jobs", jobs.make, "Jobs"),
    Place("/jobs/{id:path}", job.make),
    Place("/groups", groups.make, "Groups"),
    Place("/groups/{id:path}", group.make),
    Place("/keys/{type}/{key:path}", key.make),
    Place("/workers", workers.make, "Workers"),
    Place("/dead", dead.make_list, "Dead letters"),
    Place("/dead/{number}", dead.make_letter),
    Place("/steering", steering.make, "Held up"),
    Place("/checks", checks.make, "Checks"),
    Place("/checks/verify", checks.make_verify),
    Place("/checks/drill", drill.make),
    Place("/audit", audit.make, "Audit log"),
)
