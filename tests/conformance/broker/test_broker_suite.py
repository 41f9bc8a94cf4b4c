"""The suite of jobkit.testing.conformance.broker, on each of our backends."""

from jobkit.testing.conformance.broker import *
