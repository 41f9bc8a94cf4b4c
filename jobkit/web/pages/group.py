"""The tree of a job: the groups that it closes or made, their members, and the groups within those."""

from __future__ import annotations

from jobkit.errors import JobNotFound
from jobkit.ops.job_tree import JOBS_SHOWN, job_tree
from jobkit.web.page import NotFound, Page, View


async def make(view: View) -> Page:
    """Return the tree of one job."""
    id = view.path["id"]
    planes = view.planes
    try:
        tree = await view.backstage.looks.look(("tree", id), lambda: job_tree(planes.store, planes.inspection, id))
    except JobNotFound as error:
        raise NotFound(f"There is no job {id}, and so no group of it.") from error
    return Page("group.html", f"Group of {id}", {"tree": tree, "most": JOBS_SHOWN})
