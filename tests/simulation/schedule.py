"""How a run is drawn: what is submitted, what goes wrong and how often, and the steps at which a process can stop."""

from __future__ import annotations

from dataclasses import dataclass

from simulation.network import When

# The steps of the way of a job, at each of which a process can stop.
STEPS = (
    "broker.declare",
    "coordinator.heartbeat",
    "broker.consume",
    "consumer.receive",
    "coordinator.claim",
    "coordinator.renew",
    "store.open",
    "processor.step",
    "store.progress",
    "store.save_checkpoint",
    "store.checkpoints",
    "store.fail",
    "store.bury",
    "store.shelve",
    "store.commit",
    "coordinator.release",
    "consumer.ack",
    "consumer.delay",
    "broker.publish",
    "store.published",
)
# And those of what is done about lost messages.
LOSS_STEPS = ("store.adrift", "consumer.barrier", "inspection.republish")
# And those of another number of partitions.
CHANGE_STEPS = ("store.layouts", "store.set_layout", "store.shelved", "broker.remove")
# And those of firing what is due.
TICK_STEPS = ("inspection.due_schedules", "inspection.save_schedule")
# What may take effect long after it was sent.
LATE_WRITES = (
    "store.open",
    "store.commit",
    "store.commit",
    "store.fail",
    "store.save_checkpoint",
    "coordinator.release",
    "inspection.save_schedule",
)
WHEN: tuple[When, ...] = ("before", "during", "after")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a run is drawn: for how many seconds it storms, and how much of each trouble there is, relatively.

    Trouble comes about `every` so many seconds. `long_jobs` is the share of jobs that last longer than a lease.
    Ids are forgotten `retention` seconds after their jobs ended, if at all. Of the share `cancels` of the jobs a person
    says some time that they are to be cancelled; the share `later` is to run some seconds after it is accepted, and the
    share `unique` has one of a few unique names, and the share `groups` makes a group as it commits. The share
    `reprioritized` of those that have priorities is given another, at some time. Of what
    is paused nothing begins after `heard_within` so many seconds; without these, once a worker has said that it knows.
    `plain`: all jobs come through clients, are due at once, and do not fail; so those of a key, numbered or not, run in
    the order in which they are submitted.
    In the share `tenanted` of the seeds tenants take turns. The share `ticking` of them has schedules; the share
    `keeping` of the jobs keeps what it has done. In the share `notifying` of the seeds there are jobs of whose ends
    somebody is told, and such as expire; in the share `trimming` logs are not kept for ever.
    """

    storm: float = 60.0
    every: float = 3.0
    troubles: tuple[tuple[str, float], ...] = (
        ("pause", 3),
        ("pause at a step", 3),
        ("late write", 3),
        ("crash", 1),
        ("crash at a step", 3),
        ("cut", 2),
        ("bad weather", 3),
        ("slow coordinator", 2),
        ("prune", 1),
        ("lose messages", 1),
        ("lose messages and leases", 0.5),
        ("wall clock", 1),
        ("restart", 1),
        ("pause work", 1),
        ("change partitions", 1),
        ("pause a schedule", 1),
    )
    keys: int = 3
    jobs: int = 30
    long_jobs: float = 0.2
    retention: float | None = None
    cancels: float = 0.15
    later: float = 0.15
    reprioritized: float = 0.3
    unique: float = 0.2
    groups: float = 0.1
    heard_within: float | None = None
    plain: bool = False
    ticking: float = 0.5
    keeping: float = 0.3
    tenanted: float = 0.3
    notifying: float = 0.0
    trimming: float = 0.0


DEFAULT = Schedule(notifying=0.3, trimming=0.3)
