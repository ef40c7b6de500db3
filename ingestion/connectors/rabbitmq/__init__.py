"""RabbitMQ, with kombu: classic and quorum queues, and streams.

A stream's messages carry their offset (header ``x-stream-offset``), so it is read like a Kafka
partition. A queue has no offsets: ``_offset`` counts arrivals, and a message that is redelivered
after a crash is recognised by its message id.
"""
