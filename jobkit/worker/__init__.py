"""The worker process: leadership, health, lifecycle."""

from jobkit.worker.worker import Worker

__all__ = ["Worker"]
