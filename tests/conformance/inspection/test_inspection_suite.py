"""The suite of jobkit.testing.conformance.inspection, on each of our backends."""

from jobkit.testing.conformance.inspection import *
