"""For the tests of plugins and applications: one job with `run_job`, whole workers with `open_site`."""

from jobkit.testing.run import JobOutcome, run_job
from jobkit.testing.site import Site, SiteWorker, in_virtual_time, open_site

__all__ = ["JobOutcome", "Site", "SiteWorker", "in_virtual_time", "open_site", "run_job"]
