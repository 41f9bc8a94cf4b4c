"""What every store of files must do. Needs the fixture `blobs_harness`."""

from jobkit.testing.conformance.blobs.test_blobs import *
from jobkit.testing.conformance.fixtures import blobs
