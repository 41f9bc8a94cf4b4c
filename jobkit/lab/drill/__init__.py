"""The drill: the incident that jobkit exists to make impossible, replayed on one machine."""

from jobkit.lab.drill.comparison import Line, comparison, is_better, verdict
from jobkit.lab.drill.environment import DrillFailed
from jobkit.lab.drill.html_report import render
from jobkit.lab.drill.loss import Loss
from jobkit.lab.drill.protections import Protection
from jobkit.lab.drill.run import DrillPlan, DrillReport, run_drill

__all__ = [
    "DrillFailed",
    "DrillPlan",
    "DrillReport",
    "Line",
    "Loss",
    "Protection",
    "comparison",
    "is_better",
    "render",
    "run_drill",
    "verdict",
]
