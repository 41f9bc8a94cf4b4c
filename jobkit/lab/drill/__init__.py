"""The drill: the incident that jobkit exists to make impossible, replayed on one machine."""

from jobkit.lab.drill.comparison import Line, comparison
from jobkit.lab.drill.html_report import render
from jobkit.lab.drill.protections import Protection
from jobkit.lab.drill.run import DrillFailed, Plan, Report, run_drill

__all__ = ["DrillFailed", "Line", "Plan", "Protection", "Report", "comparison", "render", "run_drill"]
