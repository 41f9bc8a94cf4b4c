"""The suite of jobkit.testing.conformance.coordinator, on each of our backends."""

from jobkit.testing.conformance.coordinator import *
