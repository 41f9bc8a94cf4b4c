"""The suite of jobkit.testing.conformance.store, on each of our backends."""

from jobkit.testing.conformance.store import *
