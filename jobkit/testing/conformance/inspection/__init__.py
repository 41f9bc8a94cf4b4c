"""What every store, as people and checks read it must do. Needs the fixture `store_harness`."""

from jobkit.testing.conformance.fixtures import store
from jobkit.testing.conformance.inspection.test_audit import *
from jobkit.testing.conformance.inspection.test_coordinators import *
from jobkit.testing.conformance.inspection.test_file_dropping import *
from jobkit.testing.conformance.inspection.test_find import *
from jobkit.testing.conformance.inspection.test_inspection import *
from jobkit.testing.conformance.inspection.test_log_trimming import *
from jobkit.testing.conformance.inspection.test_pauses import *
from jobkit.testing.conformance.inspection.test_retention import *
from jobkit.testing.conformance.inspection.test_schedules import *
from jobkit.testing.conformance.inspection.test_types import *
