"""Measures what a machine does with jobs that do nothing: the cost of the way of a job itself."""

from jobkit.bench.run import Plan, Report, run_bench

__all__ = ["Plan", "Report", "run_bench"]
