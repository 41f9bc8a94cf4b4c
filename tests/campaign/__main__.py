"""`python -m tests.campaign`: the long campaign, on each store; `make campaign` runs it.

The environment may say SEED (which faults, and when; printed at the start, else a new one), JOBS_TOTAL and KEYS_TOTAL
(20,000 over 500), STORE (postgres or redis; else both), SCALE (long or slice), and KEEP=1, to keep the logs of one that
went well, too.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import anyio

from jobkit.settings import Settings
from jobkit.telemetry.logging import configure_logging
from tests.campaign.campaign import run_campaign
from tests.campaign.schedule import LONG, SLICE, Scale, draw
from tests.campaign.servers import STORES, StoreKind


def main() -> int:
    """Run the campaign as the environment says; return 1 where something was found."""
    seed = int(os.environ.get("SEED") or secrets.randbelow(1_000_000))
    base = {"long": LONG, "slice": SLICE}[os.environ.get("SCALE") or "long"]
    scale = replace(
        base,
        jobs=int(os.environ.get("JOBS_TOTAL") or base.jobs),
        keys=int(os.environ.get("KEYS_TOTAL") or base.keys),
    )
    only = os.environ.get("STORE")
    failed = [store for store in STORES if only in (None, "", store) and not _run(store, seed, scale)]
    return 1 if failed else 0


def _run(store: StoreKind, seed: int, scale: Scale) -> bool:
    schedule = draw(seed, scale)
    print(
        f"SEED={seed} STORE={store}: {scale.jobs} jobs over {scale.keys} keys, about {schedule.seconds:.0f} s",
        flush=True,
    )
    root = Path(tempfile.mkdtemp(prefix=f"jobkit-campaign-{store}-{seed}-"))
    with (root / "test.log").open("w") as log:
        configure_logging(Settings(log_format="text"), stream=log)
        outcome = anyio.run(run_campaign, root, store, schedule)
    if outcome.wrong or os.environ.get("KEEP"):
        print(outcome.report(), f"logs of all workers and this history are in {root}", sep="\n", flush=True)
        return not outcome.wrong
    print(outcome.summary(), flush=True)
    shutil.rmtree(root)
    return True


if __name__ == "__main__":
    sys.exit(main())
