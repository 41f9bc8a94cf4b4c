"""The conformance suites: a module that its suite does not import is run for no backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobkit.testing import conformance

MODULES = sorted(Path(conformance.__file__).parent.glob("*/test_*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: f"{module.parent.name}.{module.stem}")
def test_a_suite_has_each_of_its_modules(module: Path) -> None:
    suite = (module.parent / "__init__.py").read_text()
    assert f"from {conformance.__name__}.{module.parent.name}.{module.stem} import *\n" in suite
