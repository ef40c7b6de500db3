"""Send a thousand orders to Kafka and fifty refunds to RabbitMQ, as a shop's own programs would.

    eval "$(make -s env)"
    python examples/send.py

Makes the topic and the queue where they are missing. One order in two hundred has a total that is
no number, so that the quarantine has something to show.
"""

from __future__ import annotations

import json
import os
import time
import uuid

import kombu
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC, QUEUE = "shop-orders", "shop-refunds"
COUNTRIES = ("DE", "FR", "PL", "US")


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def send_orders(servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    try:
        admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(10)
    except KafkaException as error:
        if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
            raise
    producer = Producer({"bootstrap.servers": servers})
    for number in range(1000):
        order = {
            "time": now(),
            "id": number,
            "customer": {"country": COUNTRIES[number % 4]},
            "total": "a lot" if number % 200 == 199 else round(5 + number * 0.37, 2),
            "items": number % 5 + 1,
        }
        producer.produce(TOPIC, json.dumps(order), key=str(number))
    producer.flush()


def send_refunds(addresses: str, username: str, password: str) -> None:
    url = f"amqp://{username}:{password}@{addresses}//"
    # Confirmed: what was sent outlives a crash of the broker.
    with kombu.Connection(url, transport_options={"confirm_publish": True}) as connection:
        queue = kombu.Queue(QUEUE, durable=True, queue_arguments={"x-queue-type": "quorum"})
        with connection.Producer(serializer="json") as producer:
            for number in range(50):
                refund = {"time": now(), "order": {"id": number * 8}, "amount": 1.5}
                # A queue has no offsets: by this id a message that comes again is recognised.
                producer.publish(
                    refund, routing_key=QUEUE, declare=[queue], message_id=str(uuid.uuid4())
                )


if __name__ == "__main__":
    send_orders(os.environ["KAFKA_ADDRESSES"])
    send_refunds(
        os.environ["RABBITMQ_ADDRESSES"],
        os.environ["RABBITMQ_USERNAME"],
        os.environ["RABBITMQ_PASSWORD"],
    )
    print("Sent 1000 orders, 5 of them broken, and 50 refunds.")
