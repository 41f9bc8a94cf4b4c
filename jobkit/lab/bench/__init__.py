"""Measures what a machine does with jobs that do nothing: the cost of the way of a job itself."""

from jobkit.lab.bench.processes import BenchFailed
from jobkit.lab.bench.report import BenchPlan, BenchReport
from jobkit.lab.bench.run import Bench

__all__ = ["Bench", "BenchFailed", "BenchPlan", "BenchReport"]
