"""What a view would do: orders and their jobs in one transaction, of which one is rolled back."""

from __future__ import annotations

import os
import subprocess
import sys

import django
from django.db import connection, transaction

from jobkit.errors import ConfigurationError, JobNotFound
from jobkit.integrations.django import client


def main() -> None:
    django.setup()
    from tests.integrations.shop.jobs import Ship, ship
    from tests.integrations.shop.models import Order

    with connection.schema_editor() as editor:
        editor.create_model(Order)
    with transaction.atomic():
        order = Order.objects.create(customer="ann")
        handle = ship.submit(client(), Ship(order=order.pk), connection=connection)
        client().submit("ship", {"order": order.pk}, id="by-name", connection=connection)
    try:
        with transaction.atomic():
            Order.objects.create(customer="bob")
            client().submit("ship", {"order": 2}, id="rolled-back", connection=connection)
            raise RuntimeError("the card is refused")
    except RuntimeError as error:
        print(error)
    try:
        client().status("rolled-back")
    except JobNotFound:
        print("no job without an order:", list(Order.objects.values_list("customer", flat=True)))
    try:
        client().submit("ship", {"order": 1}, connection=connection)
    except ConfigurationError as error:
        print(error)
    worker = subprocess.Popen([sys.executable, "-m", "django", "jobkit", "worker", "ship"], env=os.environ)
    try:
        print(handle.result(timeout=60))
    finally:
        worker.terminate()
        worker.wait()
    print(client().status("by-name").key)
    client().close()


if __name__ == "__main__":
    main()
