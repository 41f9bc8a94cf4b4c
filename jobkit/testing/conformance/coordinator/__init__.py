"""What every coordinator must do. Needs the fixture `coordinator_harness`."""

from jobkit.testing.conformance.coordinator.test_leases import *
from jobkit.testing.conformance.coordinator.test_limits import *
from jobkit.testing.conformance.coordinator.test_members import *
from jobkit.testing.conformance.fixtures import coordinator
