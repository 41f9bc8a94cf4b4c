"""What a Django project says of jobkit: its settings, and the processors in its applications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string, module_has_submodule
from pydantic import ValidationError

from jobkit.plugin.processor import Processor
from jobkit.settings import Settings, settings_problems

_PREFIX = "JOBKIT_"


def project_settings() -> Settings:
    """Return jobkit's settings: the project's, and where it does not say them, those of the environment.

    Raises `ImproperlyConfigured` naming the setting that is wrong.
    """
    given = said()
    unknown = sorted(set(given) - set(Settings.model_fields))
    if unknown:
        names = ", ".join(f"{_PREFIX}{name.upper()}" for name in unknown)
        raise ImproperlyConfigured(f"jobkit has no setting {names}")
    try:
        read = Settings(**given)
    except ValidationError as error:
        raise ImproperlyConfigured(settings_problems(error, _PREFIX)) from error
    return read.model_copy(update={"plugins": tuple(dict.fromkeys((*read.plugins, *_job_modules(), *_task_modules())))})


def said() -> dict[str, Any]:
    """Return what the project's settings say of jobkit, by the field of jobkit's settings."""
    names = [name for name in dir(settings) if name.startswith(_PREFIX)]
    return {name.removeprefix(_PREFIX).lower(): getattr(settings, name) for name in names}


def _task_modules() -> Iterator[str]:
    """Yield the module with the processors of the project's tasks, where a backend of jobkit's takes them."""
    # Before Django 6 the setting is that of somebody else's package.
    if django.VERSION >= (6,) and any(map(_takes_tasks, settings.TASKS.values())):
        yield "jobkit.integrations.django.task_jobs"


def _takes_tasks(backend: Mapping[str, Any]) -> bool:
    """Return whether a backend is jobkit's, or made of it. Raises `ImproperlyConfigured` where it does not load."""
    from jobkit.integrations.django.tasks import JobkitBackend

    try:
        return issubclass(import_string(backend["BACKEND"]), JobkitBackend)
    except (KeyError, ImportError) as error:
        raise ImproperlyConfigured(f"TASKS: no backend is to be had of {dict(backend)}: {error!r}") from error


def _job_modules() -> Iterator[str]:
    """Yield the modules `jobs` of the installed applications that have processors."""
    for application in apps.get_app_configs():
        if module_has_submodule(application.module, "jobs"):
            name = f"{application.name}.jobs"
            if any(isinstance(value, Processor) for value in vars(import_module(name)).values()):
                yield name
