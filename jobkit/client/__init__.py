"""The client: submits jobs and watches them."""

from jobkit.client.client import Client, found_job
from jobkit.client.submission import Submission

__all__ = ["Client", "Submission", "found_job"]
