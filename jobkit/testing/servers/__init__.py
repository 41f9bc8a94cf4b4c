"""Private servers on loopback: RabbitMQ, Redis and PostgreSQL, started from what is installed, for tests and drills.

They are of the process that starts them, and end with it however it ends. Nothing here touches a server that runs
already, and none of it is meant to carry a load that matters.
"""
