"""The same jobs through jobkit, Celery, Dramatiq, Taskiq and FastStream, on the same private RabbitMQ."""
