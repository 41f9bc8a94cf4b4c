"""RabbitMQ, on aio-pika.

Whatever is asked of the server goes through aio-pika's objects:

* the connection and the channels (plain ones; a robust connection brings consumers back where there must be one);
* queues and exchanges: looking at them, comparing, counting, deleting; the exclusive queue, the directory of types,
  the probes;
* consumers of few messages: notices to an exclusive consumer, answers, the directory;
* messages that are not jobs on their way: notices, probes, entries, what goes into a delay queue;
* errors: what a server refuses, what it returns and what it does not take.

aiormq, the protocol library below it, does the rest:

* the socket and the reader of frames, which aio-pika has no parameter for: a socket must close without its peer's
  consent, and frame_reader.py says why frames are read first. `?frame_reader=off` goes without that reader;
* what makes a topology: dozens of queues and bindings without waiting for each answer; aio-pika waits for each;
* publishing jobs: aio-pika waits for the socket with each message, and keeps each property twice;
* a partition's messages and their acks: aio-pika starts a task more for each message, and acks wait for the socket;
* two errors that aio-pika does not name, `ChannelAccessRefused` and `ChannelLockedResource`, the properties of a
  message that arrived, and the server's cancel of a consumer.
"""
