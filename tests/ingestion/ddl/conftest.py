"""Tables made by statements alone, and the way into them that a worker takes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from ingestion.ddl import TableSpec, check, create
from ingestion.ddl.spec import INSERT_SETTINGS


@pytest.fixture(scope="module")
def engine(clickhouse_server: str) -> Client:
    return clickhouse_connect.get_client(dsn=clickhouse_server, autogenerate_session_id=False)


@pytest.fixture
def database(engine: Client, unique: Callable[[str], str]) -> Iterator[str]:
    name = unique("ddl")
    engine.command(f"CREATE DATABASE {name}")
    yield name
    engine.command(f"DROP DATABASE {name} SYNC")


class Inbox:
    """Makes tables and inserts batches, as ``ingestion.consume.inbox`` does."""

    def __init__(self, engine: Client, database: str) -> None:
        self.engine, self.database = engine, database

    def make(self, spec: TableSpec) -> TableSpec:
        check(spec)
        for statement in create(spec):
            self.engine.command(statement)
        return spec

    def insert(
        self, table: str, messages: list[bytes], token: uuid.UUID | None = None
    ) -> uuid.UUID:
        token, count = token or uuid.uuid4(), len(messages)
        rows = pa.table(
            {
                "_source": pa.array([1] * count, pa.uint64()),
                "_partition": pa.array([0] * count, pa.uint32()),
                "_offset": pa.array(range(count), pa.int64()),
                "_timestamp": pa.array([0] * count, pa.int64()).cast(pa.timestamp("ms", "UTC")),
                "_message_id": pa.array([""] * count),
                "_key": pa.array([b""] * count, pa.binary()),
                "_batch": pa.array([token.bytes] * count, pa.binary(16)),
                "raw": pa.array(messages, pa.binary()),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        self.engine.raw_insert(
            f"{self.database}.{table}__inbox",
            insert_block=sink.getvalue().to_pybytes(),
            settings=INSERT_SETTINGS | {"insert_deduplication_token": str(token)},
            fmt="ArrowStream",
        )
        return token

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.engine.query(sql).result_rows]

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count() FROM {self.database}.{table}")[0][0])


@pytest.fixture
def inbox(engine: Client, database: str) -> Inbox:
    return Inbox(engine, database)
