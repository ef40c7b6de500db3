"""A separate installation for a run: real services, a tenant, its tables and endpoints."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from millrace.embedded import service_urls
from millrace.embedded.install import install
from millrace.embedded.stack import Stack

SERVICES = ("postgres", "clickhouse", "valkey", "kafka")
#: Name, ClickHouse type and path of each column of the messages that ``bench.messages`` makes.
COLUMNS = (
    ("time", "DateTime64(3, 'UTC')", ""),
    ("id", "UInt64", ""),
    ("user_id", "UInt32", "user.id"),
    ("country", "LowCardinality(String)", "user.country"),
    ("page", "String", ""),
    ("amount", "Float64", ""),
    ("items", "UInt8", ""),
    ("paid", "Bool", ""),
)
QUERY = (
    "SELECT country, count() AS events, sum(items) AS items FROM {table} "
    "WHERE user_id < {{below:UInt32}} GROUP BY country ORDER BY country"
)


class Installation:
    """A context with running services and the schema. ``stack`` starts Millrace's own processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stack = Stack(home)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self._exit.callback(self.stack.stop)
        try:
            self.stack.start(SERVICES)
            install(self.home)
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")
            import django

            django.setup()
            self._make_own()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def urls(self) -> dict[str, str]:
        return service_urls.urls(self.home)

    @property
    def kafka(self) -> str:
        """Kafka's address, ``host:port``."""
        return self.urls["KAFKA_URL"].removeprefix("kafka://")

    def pids(self, *names: str) -> dict[str, int]:
        return {name: pid for name in names if (pid := self.stack.pid(name)) is not None}

    def start_workers(self, *workers: str) -> None:
        """Start the named workers (by default all) and beat; returns when the workers take tasks.

        By then they have imported all their modules.
        """
        workers = workers or ("worker-ingest", "worker-default")
        before = {name: self._readiness(name) for name in workers}
        self.stack.start((*workers, "beat"))
        deadline = time.monotonic() + 120
        for name in workers:
            while self._readiness(name) == before[name]:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{name} is not ready: {self.stack.tail(name)}")
                time.sleep(0.1)

    def _readiness(self, worker: str) -> int:
        """How often the worker's log says that it is ready: the log is kept over restarts."""
        return self.stack.tail(worker, 1_000_000).count(" ready.")

    def stop_workers(self) -> None:
        self.stack.halt("beat", "worker-ingest", "worker-default")

    def _make_own(self) -> None:
        from ingestion.models import Connection
        from tenants.services.keys import create_key

        self.tenant = self.make_tenant("bench")
        self.connection = Connection.objects.create(
            name="kafka", kind="kafka", addresses=self.kafka
        )
        _, self.key = create_key(self.tenant, "bench")

    def make_tenant(self, slug: str) -> Any:
        """A new tenant with its warehouse in ClickHouse."""
        from tenants.models import Tenant
        from tenants.provisioning.warehouse import provision
        from tenants.services.warehouses import create_warehouse

        tenant = Tenant.objects.create(slug=slug, name=slug.title())
        warehouse = create_warehouse(tenant)
        provision(warehouse)
        if not warehouse.applied:
            raise RuntimeError(warehouse.error)
        return tenant

    def make_source(
        self,
        name: str,
        stream: str,
        *,
        tenant: Any = None,
        connection: Any = None,
        active: bool = True,
    ) -> Any:
        """A new source of ``stream``, with a table of the source's name in ClickHouse.

        By default it belongs to the run's own tenant and uses its Kafka connection.
        """
        from ingestion.models import Column, Source, Table
        from ingestion.provision import provision_table

        tenant = tenant or self.tenant
        table = Table.objects.create(tenant=tenant, name=name, sorting_key=["time"])
        Column.objects.bulk_create(
            Column(table=table, position=place, name=column, type=kind, path=path)
            for place, (column, kind, path) in enumerate(COLUMNS)
        )
        provision_table(table)
        table.refresh_from_db()
        if not table.applied:
            raise RuntimeError(table.error)
        return Source.objects.create(
            tenant=tenant,
            name=name,
            connection=connection or self.connection,
            stream=stream,
            table=table,
            active=active,
        )

    def publish(self, name: str, table: str) -> None:
        """Publish a small query over ``table`` as an endpoint."""
        from analytics_api.models import SavedQuery
        from analytics_api.services.saved_queries import publish

        publish(
            SavedQuery.objects.create(tenant=self.tenant, name=name, sql=QUERY.format(table=table))
        )
