"""The drill: the incident that jobkit exists to make impossible, replayed on one machine."""

from jobkit.drill.broken import Protection
from jobkit.drill.comparison import Line, comparison
from jobkit.drill.page import render
from jobkit.drill.run import DrillFailed, Plan, Report, run_drill

__all__ = ["DrillFailed", "Line", "Plan", "Protection", "Report", "comparison", "render", "run_drill"]
