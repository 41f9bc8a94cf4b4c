"""Which tests run: those that start RabbitMQ, Redis or PostgreSQL only where `JOBKIT_TEST_SERVERS=1` asks for them.

The distributed backends are still being built, so `make test` does not depend on them; `make test-servers` runs all.
"""

from __future__ import annotations

import os

SERVERS_WANTED = os.environ.get("JOBKIT_TEST_SERVERS") == "1"

collect_ignore = [] if SERVERS_WANTED else ["servers", "backends/postgres", "backends/rabbitmq", "backends/redis"]
