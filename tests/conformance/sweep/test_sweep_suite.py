"""The suite of jobkit.testing.conformance.sweep, on each of our backends."""

from jobkit.testing.conformance.sweep import *
