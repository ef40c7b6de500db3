"""Exports all of a tenant's data into a folder that other programs can read.

    <folder>/manifest.json        every file with its rows, bytes and SHA-256
    <folder>/tables/<name>.parquet    as ClickHouse writes it; quarantine and rollups too
    <folder>/…                    definitions and rows that the apps have registered

Until it is complete, the folder is named ``<folder>.partial``; an export that was killed starts
again from the beginning. The export contains no secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from tenants.audit import record
from tenants.errors import TenantRefused
from tenants.lifecycle import registry
from tenants.lifecycle.warehouse_store import holds_rows, tables
from tenants.models import Tenant
from tenants.warehouse import client
from tenants.warehouse.errors import translated
from tenants.warehouse.quoting import identifier

VERSION = 1
_CHUNK = 1 << 20
#: Types that Parquet does not have. Their columns are exported as text: aggregate states in hex,
#: the others as JSON.
_STATES, _TEXTS = "AggregateFunction(", ("JSON", "Dynamic", "Variant(", "Object(")


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export. ``rows`` is None if the file has no rows."""

    path: str
    rows: int | None
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of an export; ``taken_at`` is when it began."""

    tenant: str
    taken_at: str
    finished_at: str
    files: tuple[File, ...]
    version: int = VERSION

    @property
    def rows(self) -> int:
        return sum(file.rows or 0 for file in self.files)


def folder_of(slug: str, at: datetime) -> Path:
    """The default folder of an export."""
    return Path(settings.MILLRACE_EXPORT_DIR) / f"{slug}-{at:%Y%m%dT%H%M%S.%fZ}"


def exports_of(slug: str) -> tuple[str, ...]:
    """The folders of a tenant's finished exports in the default place, newest first."""
    manifests = Path(settings.MILLRACE_EXPORT_DIR).glob(f"{slug}-*/manifest.json")
    folders = (str(manifest.parent) for manifest in manifests if _is_of(manifest, slug))
    return tuple(sorted(folders, reverse=True))


def _is_of(manifest: Path, slug: str) -> bool:
    """Whether it is a finished export of this tenant. Slugs have no dash, so the name tells."""
    return manifest.parent.name.partition("-")[0] == slug and manifest.parent.suffix != ".partial"


def export(tenant: Tenant, folder: Path | None = None) -> tuple[Path, Manifest]:
    """Write the export; returns its folder and its manifest.

    Raises TenantRefused if the folder already exists, and WarehouseError if ClickHouse fails.
    """
    began = timezone.now()
    target = (folder or folder_of(tenant.slug, began)).resolve()
    if target.exists():
        msg = f"The folder {target} already exists. Choose another one, or remove it."
        raise TenantRefused(msg)
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    files = tuple(sorted(_files(tenant, partial), key=lambda file: file.path))
    manifest = Manifest(tenant.slug, began.isoformat(), timezone.now().isoformat(), files)
    _write(partial, "manifest.json", [_json(asdict(manifest)).encode()])
    partial.rename(target)
    detail: dict[str, object] = {"folder": str(target), "rows": manifest.rows}
    record("tenant.export", tenant, tenant=tenant, detail=detail)
    return target, manifest


def verify(folder: Path) -> list[str]:
    """Check an export against its manifest; returns what differs, empty if nothing does."""
    manifest = json.loads((folder / "manifest.json").read_text())
    differences = []
    for file in manifest["files"]:
        place = folder / file["path"]
        if not place.is_file():
            differences.append(f"{file['path']} is missing.")
        elif _digest(place) != file["sha256"]:
            differences.append(f"{file['path']} has changed: its SHA-256 differs.")
    return differences


def _files(tenant: Tenant, folder: Path) -> Iterator[File]:
    for name, define in registry.definitions.items():
        yield _write(folder, name, [define(tenant).encode()])
    for name, select in registry.rows.items():
        yield _lines(folder, name, select(tenant))
    warehouse = getattr(tenant, "warehouse", None)
    if warehouse is None or not warehouse.applied:
        return
    for table in tables(warehouse.database):
        if holds_rows(table):
            yield _table(folder, warehouse.database, str(table["name"]))


def _lines(folder: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> File:
    count = 0

    def encoded() -> Iterator[bytes]:
        nonlocal count
        for row in rows:
            count += 1
            yield _json(row).encode() + b"\n"

    written = _write(folder, name, encoded())
    return File(written.path, count, written.bytes, written.sha256)


def _table(folder: Path, database: str, name: str) -> File:
    """Stream one table as ClickHouse's own Parquet; the file's metadata gives the row count."""
    sql = f"SELECT {_columns(database, name)} FROM {identifier(database)}.{identifier(name)}"
    path = f"tables/{name.replace('/', '_')}.parquet"
    options = {"output_format_parquet_string_as_string": 1, "max_execution_time": 0}
    with translated():
        stream = client.admin().raw_stream(sql, fmt="Parquet", settings=options)
    with stream:
        # It is a file-like object, although its annotation says otherwise.
        source = cast("Any", stream)
        written = _write(folder, path, iter(lambda: source.read(_CHUNK), b""))
    rows = pq.ParquetFile(folder / path).metadata.num_rows
    return File(written.path, rows, written.bytes, written.sha256)


def _columns(database: str, name: str) -> str:
    sql = (
        "SELECT name, type FROM system.columns WHERE database = {database:String} "
        "AND table = {table:String} AND default_kind NOT IN ('ALIAS', 'EPHEMERAL') "
        "ORDER BY position"
    )
    rows = client.rows(sql, {"database": database, "table": name})
    return ", ".join(_column(str(row["name"]), str(row["type"])) for row in rows)


def _column(name: str, kind: str) -> str:
    column = identifier(name)
    if kind.startswith(_STATES):
        return f"hex({column}) AS {column}"
    if kind.startswith(_TEXTS):
        return f"toJSONString({column}) AS {column}"
    return column


def _write(folder: Path, name: str, chunks: Iterable[bytes]) -> File:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with place.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return File(name, None, size, digest.hexdigest())


def _digest(place: Path) -> str:
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(value: object) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
