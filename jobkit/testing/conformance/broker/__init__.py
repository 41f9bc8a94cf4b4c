"""What every broker must do. Needs the fixture `broker_harness`."""

from jobkit.testing.conformance.broker.test_bands import *
from jobkit.testing.conformance.broker.test_barrier import *
from jobkit.testing.conformance.broker.test_delays import *
from jobkit.testing.conformance.broker.test_queues import *
from jobkit.testing.conformance.fixtures import broker
