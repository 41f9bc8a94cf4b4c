"""What every store must do. Needs the fixture `store_harness`."""

from jobkit.testing.conformance.fixtures import store
from jobkit.testing.conformance.store.test_adrift import *
from jobkit.testing.conformance.store.test_amend import *
from jobkit.testing.conformance.store.test_awaiting import *
from jobkit.testing.conformance.store.test_cancel import *
from jobkit.testing.conformance.store.test_cancel_order import *
from jobkit.testing.conformance.store.test_checkpoints import *
from jobkit.testing.conformance.store.test_commit import *
from jobkit.testing.conformance.store.test_ending import *
from jobkit.testing.conformance.store.test_expiring import *
from jobkit.testing.conformance.store.test_failing import *
from jobkit.testing.conformance.store.test_groups import *
from jobkit.testing.conformance.store.test_held import *
from jobkit.testing.conformance.store.test_layouts import *
from jobkit.testing.conformance.store.test_letters import *
from jobkit.testing.conformance.store.test_model import *
from jobkit.testing.conformance.store.test_open import *
from jobkit.testing.conformance.store.test_parking import *
from jobkit.testing.conformance.store.test_priorities import *
from jobkit.testing.conformance.store.test_scheduled import *
from jobkit.testing.conformance.store.test_starts import *
from jobkit.testing.conformance.store.test_submit import *
from jobkit.testing.conformance.store.test_superseded import *
from jobkit.testing.conformance.store.test_tenants import *
from jobkit.testing.conformance.store.test_unique import *
from jobkit.testing.conformance.store.test_unique_together import *
