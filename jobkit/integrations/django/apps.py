"""The application that Django installs."""

from __future__ import annotations

from functools import cached_property

from django.apps import AppConfig

from jobkit.client.sync import SyncClient
from jobkit.integrations.django.project import project_settings


class JobkitConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """jobkit, with the settings of the project."""

    name = "jobkit.integrations.django"
    label = "jobkit"
    verbose_name = "jobkit"

    def ready(self) -> None:
        """Find the processors, and refuse settings that are wrong, as the project starts. It opens nothing yet."""
        self.settings = project_settings()

    @cached_property
    def client(self) -> SyncClient:
        """The client of this process."""
        return SyncClient(self.settings)
