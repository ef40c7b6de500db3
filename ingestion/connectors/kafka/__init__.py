"""Kafka, by confluent-kafka (librdkafka): partitions are assigned, never subscribed."""
