"""Which tests run: those that start RabbitMQ, Redis or PostgreSQL only where `JOBKIT_TEST_SERVERS=1` asks for them.

The distributed backends are still being built, so `make test` does not depend on them; `make test-servers` runs all.
"""

from __future__ import annotations

import os
import signal

SERVERS_WANTED = os.environ.get("JOBKIT_TEST_SERVERS") == "1"

collect_ignore = [] if SERVERS_WANTED else ["servers", "backends/postgres", "backends/rabbitmq", "backends/redis"]

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: then no Ctrl-C that a test
# sends would arrive.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
