"""The suite of jobkit.testing.conformance.blobs, on each of our backends."""

from jobkit.testing.conformance.blobs import *
