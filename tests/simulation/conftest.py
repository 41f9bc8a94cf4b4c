"""Options of the simulation: how many seeds, or which one."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption("--seeds", type=int, default=None, help="how many random schedules to simulate")
    group.addoption("--seed", type=int, default=None, help="simulate this one only")
