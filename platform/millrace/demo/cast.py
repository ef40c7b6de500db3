"""The demo's tenants: sixteen airlines and a weather service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FILES = Path(__file__).with_name("files")


@dataclass(frozen=True, slots=True)
class Airline:
    """An airline. ``carrier`` is its code in the data.

    ``partitions`` is the number of its topic's partitions, 0 if it uses a RabbitMQ queue.
    """

    slug: str
    carrier: str
    name: str
    partitions: int

    @property
    def stream(self) -> str:
        """The name of the topic or queue."""
        return f"flights.{self.slug}"


AIRLINES = (
    Airline("united", "UA", "United Air Lines Inc.", 4),
    Airline("jetblue", "B6", "JetBlue Airways", 4),
    Airline("expressjet", "EV", "ExpressJet Airlines Inc.", 4),
    Airline("delta", "DL", "Delta Air Lines Inc.", 4),
    Airline("american", "AA", "American Airlines Inc.", 2),
    Airline("envoy", "MQ", "Envoy Air", 2),
    Airline("us_airways", "US", "US Airways Inc.", 2),
    Airline("endeavor", "9E", "Endeavor Air Inc.", 2),
    Airline("southwest", "WN", "Southwest Airlines Co.", 0),
    Airline("virgin", "VX", "Virgin America", 1),
    Airline("airtran", "FL", "AirTran Airways Corporation", 1),
    Airline("alaska", "AS", "Alaska Airlines Inc.", 1),
    Airline("frontier", "F9", "Frontier Airlines Inc.", 1),
    Airline("mesa", "YV", "Mesa Airlines Inc.", 1),
    Airline("hawaiian", "HA", "Hawaiian Airlines Inc.", 1),
    Airline("skywest", "OO", "SkyWest Airlines Inc.", 1),
)
WEATHER = "weather"
#: The airline on RabbitMQ. It has a second file, for machines without RabbitMQ.
ON_RABBITMQ = "southwest"


def files(*, rabbitmq: bool) -> list[Path]:
    """The demo's configuration files, for ``manage.py apply``."""
    airlines = [FILES / f"{airline.slug}.yaml" for airline in AIRLINES]
    if not rabbitmq:
        place = airlines.index(FILES / f"{ON_RABBITMQ}.yaml")
        airlines[place] = FILES / f"{ON_RABBITMQ}-on-kafka.yaml"
    return [FILES / "connections.yaml", *airlines, FILES / f"{WEATHER}.yaml"]
