"""A processor in a process of its own that never ends by itself, for a worker that is killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from jobkit import Payload, SyncContext, processor


class Stay(Payload):
    """Where to write which process it is."""

    told: Path


@processor("stay", key=lambda _: "k", isolation="process")
def stay(job: Stay, ctx: SyncContext) -> None:
    ctx.progress(0.1, "staying")
    aside = job.told.with_suffix(".new")
    aside.write_text(str(os.getpid()))
    aside.rename(job.told)
    while True:
        time.sleep(600)
