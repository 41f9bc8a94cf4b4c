"""What the suites of a store use, sweeping uses too."""

from jobkit.testing.conformance.fixtures import store

__all__ = ["store"]
