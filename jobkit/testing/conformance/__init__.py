"""The conformance suites: what every backend of a plane must do, for the tests of whoever writes a backend.

A test module imports a suite, `from jobkit.testing.conformance.store import *`, and a `conftest.py` has the fixture
`store_harness`, which yields a `Harness` of the backend. docs/writing-a-backend.md has a whole example. They need the
extra `conformance` (pytest, pytest-asyncio and hypothesis), and nothing else of jobkit imports any of these.
"""

import pytest

# Without this a failed assertion would show no values: pytest rewrites only what it has been told of.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("blobs", "broker", "coordinator", "inspection", "store", "values"))
)
