"""Private servers on loopback, for tests and drills: RabbitMQ, Redis, PostgreSQL and S3, from what is installed.

They are of the process that starts them, and end with it however it ends. Nothing here touches a server that runs
already, and none of it is meant to carry a load that matters.
"""
