"""What operators can change: each change says first what it would do, and then does it."""

from collections.abc import Mapping

from jobkit.web.actions import dead, gaps, jobs, pauses, schedules, workers
from jobkit.web.actions.action import Action

ACTIONS: Mapping[str, Action] = {
    action.name: action for place in (jobs, pauses, dead, gaps, schedules, workers) for action in place.ACTIONS
}
