"""What the project's tasks do: as Django 6 has them, and known to nothing of jobkit's."""

from __future__ import annotations

from typing import Any

from django.tasks import TaskContext, task


@task
def count(customer: str, *, times: int = 1) -> dict[str, int]:
    """Count the orders of a customer."""
    from tests.integrations.shop.models import Order

    return {"orders": Order.objects.filter(customer=customer).count() * times}


@task(takes_context=True, priority=50, queue_name="slow")
async def greet(context: TaskContext, name: str) -> list[Any]:
    """Say who is greeted, at which attempt."""
    return [f"hello {name}", context.attempt, context.task_result.id]


class OutOfStock(Exception):
    """There is none left."""


@task
def refuse() -> None:
    """Fail."""
    raise OutOfStock("no tea")


@task
def twice() -> int:
    """Return a number."""
    return 2
