"""`manage.py jobkit ...`: any command of jobkit's, with the settings and the models of the project."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from django.apps import apps
from django.core.management.base import BaseCommand

from jobkit.cli.app import main
from jobkit.integrations.django.project import said


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Hands its arguments on."""

    help = "Run a command of jobkit's with the settings of this project, as in: manage.py jobkit worker TYPE"

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Run the command as the process's own; it ends the process."""
        for name, value in said().items():
            text = ",".join(value) if isinstance(value, list | tuple) else str(value)
            os.environ.setdefault(f"JOBKIT_{name.upper()}", text)
        os.environ["JOBKIT_PLUGINS"] = ",".join(apps.get_app_config("jobkit").settings.plugins)
        sys.argv = ["jobkit", *argv[2:]]
        main()
