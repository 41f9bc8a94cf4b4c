"""For the tests of plugins: run one job in memory with `run_job`."""

from jobkit.testing.run import JobOutcome, run_job

__all__ = ["JobOutcome", "run_job"]
