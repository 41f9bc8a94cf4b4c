"""Django: `INSTALLED_APPS += ["jobkit.integrations.django"]`.

The settings are those of jobkit under their names (`JOBKIT_STORE_URL`, ...), in the project's settings or in the
environment. Processors are found in the module `jobs` of each installed application. `client` returns the process's
client, and `manage.py jobkit worker TYPE` runs a worker that has the project's models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobkit.client.sync import SyncClient


def client() -> SyncClient:
    """Return the client of this process, for any thread; it is opened with its first call, and anew after a fork.

    To submit in a transaction, give it Django's connection to the store's database:
    `client().submit(..., connection=django.db.connection)` within `transaction.atomic()`.
    """
    from django.apps import apps

    found: SyncClient = apps.get_app_config("jobkit").client
    return found
