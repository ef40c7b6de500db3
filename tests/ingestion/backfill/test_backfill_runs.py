"""Backfills in the background: progress, cancelling, resuming, and who may load from where."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from ingestion.backfill import background, uploads
from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file_run import Settings
from ingestion.backfill.readers import parquet
from ingestion.backfill.uploads import UploadRefused
from ingestion.lifecycle.upload_folder import Uploads
from ingestion.models import Backfill, BackfillRun, Table
from ingestion.services import backfill_runs as service
from ingestion.services.runs import RunRefused
from tenants.lifecycle.registry import Doomed
from tenants.models import AuditEntry, IngestionHold, Tenant, TenantStatus
from tenants.warehouse import client

COLUMNS = [{"name": "n", "type": "UInt32"}]
#: Three chunks, with a misfit in the second.
LINES = b"".join(b'{"n": %d}\n' % n for n in range(50)) + b'{"n": -1}\n' + b'{"n": 99}\n' * 49
IN_CHUNKS = Settings(chunk_rows=40)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.MILLRACE_UPLOAD_DIR = str(tmp_path / "uploads")
    return tmp_path


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory("runs"), COLUMNS, sorting_key=["n"])


def uploaded(table: Table, lines: bytes = LINES, name: str = "a.ndjson") -> BackfillRun:
    return service.start_upload(table, name, [lines[:100], lines[100:]], IN_CHUNKS)


def rows(table: Table) -> int:
    found = client.rows(f"SELECT count() AS c FROM {table.tenant.warehouse.database}.events")
    return int(found[0]["c"])


def worked(run: BackfillRun) -> BackfillRun:
    service.work(run.pk)
    run.refresh_from_db()
    return run


def at_chunk(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], Any]) -> None:
    """Do something after a run's chunk of that number, from 1, has landed."""
    seen = iter(range(1, 100))
    landed = background._Noted.landed

    def also(self: Any, done: int) -> None:
        if next(seen) == number:
            act()
        landed(self, done)

    monkeypatch.setattr(background._Noted, "landed", also)


def test_an_upload_lands_is_counted_and_removed(table: Table, folder: Path) -> None:
    run = uploaded(table)
    (file,) = (folder / "uploads" / table.tenant.slug).iterdir()
    assert (file.read_bytes(), run.state, run.name) == (LINES, "queued", "a.ndjson")
    worked(run)
    assert (run.state, run.error, run.landed, run.quarantined, run.skipped) == (
        *("done", "", 99, 1),
        0,
    )
    assert (run.files, run.file, run.percent, rows(table)) == (1, 1, 100, 99)
    assert not file.exists()
    assert Backfill.objects.get(table=table).location == "upload://a.ndjson"
    actions = list(AuditEntry.across_tenants.order_by("pk").values_list("action", flat=True))
    assert actions[-2:] == ["backfill.start", "table.backfill"]
    again = worked(uploaded(table, name="b.ndjson"))
    assert (again.state, again.landed, again.skipped, rows(table)) == ("done", 0, 100, 99)


def test_a_run_is_cancelled_between_chunks_and_resumed(
    table: Table, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    run = uploaded(table)
    at_chunk(monkeypatch, 2, lambda: service.cancel(run))
    worked(run)
    assert (run.state, run.landed, run.quarantined, rows(table)) == ("cancelled", 79, 1, 79)
    backfill = Backfill.objects.get(table=table)
    assert (backfill.state, backfill.error) == ("stopped", "")
    service.work(run.pk)
    assert rows(table) == 79
    with pytest.raises(RunRefused, match="has ended already: cancelled"):
        service.cancel(run)
    service.resume(run)
    worked(run)
    assert (run.state, run.landed, run.quarantined, run.skipped) == ("done", 99, 1, 0)
    assert rows(table) == 99
    with pytest.raises(RunRefused, match="It is done"):
        service.resume(run)


def test_a_suspended_tenant_and_one_over_its_plan_wait(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tenant = uploaded(table), Tenant.objects.filter(pk=table.tenant_id)
    at_chunk(monkeypatch, 1, lambda: tenant.update(status=TenantStatus.SUSPENDED))
    assert (worked(run).state, rows(table)) == ("running", 40)
    BackfillRun.across_tenants.update(worked_at=timezone.now() - background.QUIET * 2)
    assert run.pk not in background.due()
    tenant.update(status=TenantStatus.ACTIVE)
    assert run.pk in background.due()
    hold = IngestionHold.objects.create(
        tenant=table.tenant, limit="storage_bytes", value=1, reason="storage is full"
    )
    assert (worked(run).state, run.error) == ("running", "It waits: storage is full")
    hold.delete()
    assert (worked(run).state, run.error, rows(table)) == ("done", "", 99)


def test_a_worker_that_shuts_down_leaves_the_run_to_the_next_one(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stops = uploaded(table), iter([False] * 4 + [True] * 9)
    monkeypatch.setattr(service, "is_stopping", lambda: next(stops))
    assert worked(run).state == "running"
    assert run.pk in background.due()
    monkeypatch.setattr(service, "is_stopping", lambda: False)
    assert (worked(run).state, run.landed, rows(table)) == ("done", 99, 99)


def test_a_table_that_is_deleted_meanwhile_ends_its_run(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = uploaded(table)
    at_chunk(monkeypatch, 1, lambda: Table.across_tenants.filter(pk=table.pk).delete())
    service.work(run.pk)
    assert not BackfillRun.objects.exists()


def test_one_run_of_a_tenant_at_a_time_and_then_the_next(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = uploaded(table), uploaded(table, b'{"n": 7}\n', "b.ndjson")
    queued: list[Any] = []
    monkeypatch.setattr(service, "send", lambda *task, expires: queued.append(task))
    worked(first)
    assert queued == [("ingestion.tasks.run_backfill", second.pk)]


def test_while_no_worker_reads_the_queue_it_does_not_fill(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = uploaded(table), uploaded(table, b'{"n": 7}\n', "b.ndjson")
    queued: list[Any] = []
    unread: list[int | None] = [0, None, 1, 1]
    monkeypatch.setattr(service, "send", lambda _, pk, expires: queued.append(pk))
    monkeypatch.setattr(service, "unread", lambda _: unread.pop(0))

    def after(waited: timedelta) -> list[Any]:
        BackfillRun.across_tenants.update(worked_at=timezone.now() - waited)
        queued.clear()
        service.go_on()
        return [*queued, BackfillRun.across_tenants.get(pk=first.pk).error]

    half = background.QUIET / 2
    assert after(half) == [""]  # nothing is due, so nobody asks the broker
    assert after(background.QUIET) == [first.pk, ""]  # one of a tenant
    assert after(background.QUIET) == [""]  # the broker is down
    assert after(background.QUIET) == [""]
    assert after(service.LONG_WAIT) == [service.NO_WORKER]
    assert unread == []
    assert (worked(first).state, first.error) == ("done", "")
    assert BackfillRun.across_tenants.get(pk=second.pk).error == ""


def test_messages_of_one_tenant_do_not_keep_out_anothers_run(
    table: Table,
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = table_factory(tenant_factory("other"), COLUMNS, sorting_key=["n"])
    first, second = uploaded(table), uploaded(other)
    BackfillRun.across_tenants.update(worked_at=timezone.now() - background.QUIET)
    queued: list[int] = []
    monkeypatch.setattr(service, "send", lambda _, pk, expires: queued.append(pk))
    monkeypatch.setattr(service, "unread", lambda _: 1)
    service.go_on()
    assert queued == [first.pk, second.pk]


def test_a_run_that_failed_meanwhile_keeps_its_error(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = uploaded(table)
    read = background._read(run.pk)
    BackfillRun.across_tenants.update(state="failed", error="the file is broken")
    monkeypatch.setattr(background, "_read", lambda _: read)
    background.work(run.pk, lambda: False)
    run.refresh_from_db()
    assert (run.state, run.error, rows(table)) == ("failed", "the file is broken", 0)


def test_a_run_that_can_not_go_on_does_not_keep_its_tenants_others(table: Table) -> None:
    first, second = uploaded(table), uploaded(table, b'{"n": 7}\n', "b.ndjson")
    rows, now = BackfillRun.across_tenants, timezone.now()
    rows.update(worked_at=now - background.QUIET * 3)
    rows.filter(pk=first.pk).update(worked_at=now - background.QUIET * 2)  # tried meanwhile
    assert background.due() == [second.pk]
    rows.filter(pk=first.pk).update(state="running", worked_at=now)
    assert background.due() == []


@pytest.mark.parametrize("what", ["tenant", "content"])
def test_two_workers_do_not_load_at_once(what: str, table: Table) -> None:
    run = uploaded(table)
    service.work(uploaded(table, name="same.ndjson").pk) if what == "content" else None
    backfill = Backfill.objects.filter(table=table).first()
    key = f"backfill {backfill.pk}" if backfill else f"backfills of tenant {table.tenant_id}"
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [key])
        assert worked(run).goes_on
        assert run.landed == 0
    assert worked(run).state == "done"
    assert rows(table) == 99


def test_a_bad_file_fails_the_run_and_says_why(table: Table, folder: Path) -> None:
    run = worked(uploaded(table, b"m\n1\n", "a.csv"))
    assert run.state == "failed"
    assert run.error.startswith("a.csv: it lacks columns that the table requires: n")
    assert str(folder) not in run.error
    uploads.remove(table.tenant.slug, run.upload)
    with pytest.raises(RunRefused, match="was removed meanwhile"):
        service.resume(run)


def test_several_files_and_one_bad(table: Table, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"n\n1\n2\n")
    (tmp_path / "b.csv").write_bytes(b"m\n1\n")
    out = io.StringIO()
    call_command("backfill", str(table), f"{tmp_path}/*.csv", background=True, stdout=out)
    run = BackfillRun.objects.get()
    assert f"Run {run.pk} loads 2 files into {table} in the background" in out.getvalue()
    worked(run)
    assert (run.state, run.landed, run.files) == ("failed", 2, 2)
    assert run.error.startswith("1 of 2 files went wrong. The first: ")
    assert [outcome["file"] for outcome in run.refused] == ["b.csv"]


# --- Uploads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/a.csv", "a.csv"), ("C:\\x\\b.csv.gz", "b.csv.gz"), ("c\x1b\u202e.csv", "c.csv")],
)
def test_an_uploads_name_is_only_shown(name: str, shown: str, table: Table, folder: Path) -> None:
    run = service.start_upload(table, name, [b"n\n1\n"], Settings())
    assert run.name == shown
    stored = uploads.path_of(table.tenant.slug, run.upload)
    assert stored.parent == folder / "uploads" / table.tenant.slug
    assert stored.name.split(".", 1)[1] == shown.split(".", 1)[1]


@pytest.mark.parametrize("name", ["", "..", "a", "a.exe", "a.csv/", "\0"])
def test_a_name_without_a_format_is_refused(name: str, table: Table, folder: Path) -> None:
    with pytest.raises(FileUnreadable):
        service.start_upload(table, name, [b"n\n1\n"], Settings())
    assert not list(folder.rglob("*.*"))


def test_what_can_not_be_stored_leaves_nothing(table: Table, folder: Path, settings: Any) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"n\n"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        service.start_upload(table, "a.csv", breaks(), Settings())
    with pytest.raises(UploadRefused, match="is empty"):
        service.start_upload(table, "a.csv", [], Settings())
    settings.MILLRACE_UPLOAD_MAX_BYTES = 3
    with pytest.raises(UploadRefused, match="larger than 3 bytes"):
        service.start_upload(table, "a.csv", [b"n\n1\n"], Settings())
    assert not [path for path in (folder / "uploads").rglob("*") if path.is_file()]
    (folder / "file").write_bytes(b"")
    settings.MILLRACE_UPLOAD_DIR = str(folder / "file")
    with pytest.raises(UploadRefused, match="can't be stored now") as refused:
        service.start_upload(table, "a.csv", [b"n"], Settings())
    assert str(folder) not in str(refused.value)
    assert not BackfillRun.objects.exists()


def test_old_uploads_are_removed(table: Table, folder: Path, settings: Any) -> None:
    run, stopped = uploaded(table), uploaded(table, b'{"n": 1}', "b.ndjson")
    service.cancel(stopped)
    broken = folder / "uploads" / "x" / "y.csv"
    broken.parent.mkdir()
    broken.write_bytes(b"")
    assert uploads.remove_old() == 0
    settings.MILLRACE_UPLOAD_DAYS = 0
    assert uploads.remove_old() == 1
    assert not uploads.path_of(table.tenant.slug, stopped.upload).exists()
    assert uploads.path_of(table.tenant.slug, run.upload).exists()


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_refused(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_UNPACKED", 1 << 20)
    bomb = gzip.compress(b"\0" * (8 << 20))
    run = worked(service.start_upload(table, "a.parquet.gz", [bomb], Settings()))
    assert run.state == "failed"
    assert "unpacks to more than 100 times its size" in run.error


def test_a_tenant_that_is_deleted_leaves_no_upload(table: Table, folder: Path) -> None:
    uploaded(table)
    doomed = Doomed(table.tenant_id, table.tenant.slug, "", "")
    assert Uploads().count(doomed) == {"uploads": 1}
    assert Uploads().remove(doomed) == []
    assert Uploads().count(doomed) == {"uploads": 0}
    assert not (folder / "uploads" / table.tenant.slug).exists()


# --- Locations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd.csv",
        "a.csv",
        "file:///etc/passwd.csv",
        "http://example.com/a.csv",
        "s3://bucket/a.csv",
        "gs://anonymous@bucket/a.csv",
        "s3://opened/other/a.csv",
        "s3://opened/runs/../other/a.csv",
        "s3://opened/run*/a.csv",
        "/opened/runs/../other/a.csv",
        "/opened/runs",
        "http://files.internal/runs/%2e%2e/other/a.csv",
        "http://files.internal/runs\\..\\other/a.csv",
        "http://files.internal.evil.com/runs/a.csv",
        "http://files.internal@evil.com/runs/a.csv",
        "",
    ],
)
def test_what_the_operator_has_not_opened_is_refused(
    location: str, table: Table, settings: Any
) -> None:
    settings.MILLRACE_BACKFILL_LOCATIONS = [
        "s3://opened/{tenant}/",
        "/opened/{tenant}",
        "http://files.internal/{tenant}",
    ]
    location = location.replace("runs", table.tenant.slug)
    with pytest.raises(FileUnreadable, match=r"not open to you|leave the login out"):
        service.start(table, [location], Settings())
    assert not BackfillRun.objects.exists()


def test_a_folder_that_is_open_is_read_and_its_links_lead_nowhere_else(
    table: Table, tmp_path: Path, settings: Any
) -> None:
    own = tmp_path / table.tenant.slug
    own.mkdir()
    (tmp_path / "secret.csv").write_bytes(b"n\n1\n")
    settings.MILLRACE_BACKFILL_LOCATIONS = [f"{tmp_path}/{{tenant}}"]
    (own / "a.csv").write_bytes(b"n\n2\n")
    run = worked(service.start(table, [f"{own}/*.csv"], Settings()))
    assert (run.state, run.landed) == ("done", 1)
    (own / "link.csv").symlink_to(tmp_path / "secret.csv")
    run = worked(service.start(table, [f"{own}/*.csv"], Settings()))
    assert (run.state, run.landed) == ("failed", 0)
    assert "not open to you" in run.error


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "0"],
)
def test_https_leads_to_public_addresses_alone(host: str, table: Table, settings: Any) -> None:
    settings.MILLRACE_CONNECTION_NETWORKS = ["private", "loopback", "link-local"]
    run = worked(service.start(table, [f"https://{host}/a.csv?sig=secret"], Settings()))
    assert run.state == "failed"
    assert "leads to an address that is not public" in run.error
    assert "secret" not in run.error + run.name
