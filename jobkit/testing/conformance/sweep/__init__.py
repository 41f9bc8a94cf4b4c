"""What every pair of store and blobs must do. Needs the fixtures `store_harness` and `blobs_harness`."""

from jobkit.testing.conformance.fixtures import blobs, store
from jobkit.testing.conformance.sweep.test_sweep import *
