"""The client: submits jobs and watches them."""

from jobkit.client.client import Client, Submission, found_job

__all__ = ["Client", "Submission", "found_job"]
