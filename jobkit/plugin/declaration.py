"""What is wrong with the arguments of a processor's declaration, whatever was given for them."""

from __future__ import annotations

import inspect
from datetime import timedelta

from pydantic_settings import BaseSettings

from jobkit.errors import ConfigurationError
from jobkit.model.envelope import MAX_VERSION
from jobkit.model.names import type_name
from jobkit.model.priority import priority_of
from jobkit.model.safe_text import shown
from jobkit.plugin.retry import RetryPolicy
from jobkit.projections.projection import Projection


def checked_type(type: object, what: str = "job type") -> str:
    """Return the name of a job type, or of `what`. Raises `ConfigurationError` where it can be none."""
    try:
        return type_name(type, what)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def argument_problems(
    key: object,
    ordered: object,
    timeout: object,
    retry: object,
    settings: object,
    check: object,
    projections: object,
    describe: object,
) -> list[str]:
    """Return what is wrong with the arguments of a declaration, whatever was given for them."""
    found = []
    if not callable(key) or inspect.iscoroutinefunction(key):
        found.append(f"key must be a plain function of the payload, such as key=lambda job: job.id, not {shown(key)}")
    if not isinstance(ordered, bool):
        found.append(f"ordered must be True or False, not {shown(ordered)}")
    if not isinstance(timeout, timedelta):
        found.append(f"timeout must be a timedelta, such as timedelta(minutes=5), not {shown(timeout)}")
    elif timeout <= timedelta(0):
        found.append(f"timeout must be positive, not {timeout}")
    if retry is not None and not isinstance(retry, RetryPolicy):
        found.append(f"retry must be a RetryPolicy, such as RetryPolicy(max_attempts=3), not {shown(retry)}")
    if settings is not None and not (inspect.isclass(settings) and issubclass(settings, BaseSettings)):
        found.append(f"settings must be a subclass of pydantic_settings.BaseSettings, not {shown(settings)}")
    for name, asked in (("check", check), ("describe", describe)):
        if asked is not None and not inspect.iscoroutinefunction(asked):
            found.append(f"{name} must be an 'async def' function that returns a list of sentences, not {shown(asked)}")
    if not isinstance(projections, list | tuple) or not all(isinstance(one, Projection) for one in projections):
        found.append(f"projections must be a list of Projection, not {shown(projections)}")
    elif len({projection.name for projection in projections}) < len(projections):
        found.append("two of its projections have one name")
    return found


def version_problems(version: object) -> list[str]:
    """Return what is wrong with the version of a type's payloads."""
    if isinstance(version, int) and not isinstance(version, bool) and 1 <= version <= MAX_VERSION:
        return []
    return [f"version must be a whole number from 1, not {shown(version)}"]


def priority_problems(priority: object, ordered: object) -> list[str]:
    """Return what is wrong with the priority of a declaration."""
    if priority is None:
        return []
    if ordered is True:
        return ["an ordered type has no priority: a job that overtook others would break its key's order"]
    try:
        priority_of(priority)
    except ValueError as error:
        return [str(error)]
    return []
