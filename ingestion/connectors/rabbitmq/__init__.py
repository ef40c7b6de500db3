"""RabbitMQ, by kombu: classic and quorum queues, and streams.

A stream's messages carry their offset (header ``x-stream-offset``), so that it is read like a Kafka
partition. A queue has none: ``_offset`` counts arrivals, and what was delivered before a crash is
recognised by its message id when it is delivered again.
"""
