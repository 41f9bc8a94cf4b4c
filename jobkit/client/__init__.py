"""The client: submits jobs and watches them."""

from jobkit.client.client import Client, Submission

__all__ = ["Client", "Submission"]
