"""Files by globs, from S3, Google Cloud Storage and the web: loaded once, or refused."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.fs as pa_fs
import pytest
import urllib3
from django.core.management import CommandError, call_command
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.places import RemotePlace, expand
from ingestion.models import Backfill, Table
from tenants.models import Tenant
from tenants.warehouse import client

COLUMNS = [{"name": "n", "type": "UInt32"}]


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory("places"), COLUMNS, sorting_key=["n"])


def run(table: Table, *files: Path | str, **options: Any) -> str:
    out = io.StringIO()
    call_command(
        "backfill", str(table), *map(str, files), stdout=out, stderr=io.StringIO(), **options
    )
    return out.getvalue()


def refused(table: Table, *files: Path | str, says: str, **options: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match=says) as raised:
        call_command("backfill", str(table), *map(str, files), stdout=out, stderr=err, **options)
    assert raised.value.returncode == 1
    return out.getvalue(), err.getvalue()


def rows(table: Table) -> list[int]:
    found = client.rows(f"SELECT n FROM {table.tenant.warehouse.database}.events ORDER BY n")
    return [row["n"] for row in found]


def csv(*numbers: int) -> bytes:
    return b"n\n" + b"".join(b"%d\n" % number for number in numbers)


# --- Paths ----------------------------------------------------------------------------------------


def test_a_glob_loads_each_file_once_and_sums_up(table: Table, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for number, name in enumerate(("b.csv", "a.csv", "deep/er/c.csv", "d.txt")):
        (tmp_path / name).write_bytes(csv(number))
    said = run(table, f"{tmp_path}/**/*.csv", tmp_path / "a.csv", f"{tmp_path}/[b].csv")
    assert re.findall(r"^(\S+): 1 rows landed", said, re.MULTILINE) == ["a.csv", "b.csv", "c.csv"]
    assert f"3 files: 3 rows landed in {table}, 0 are in quarantine, 0 were skipped" in said
    again = run(table, f"{tmp_path}/**/*.csv")
    assert f"3 files: 0 rows landed in {table}, 0 are in quarantine, 3 were skipped" in again
    assert rows(table) == [0, 1, 2]
    refused(table, f"{tmp_path}/*.parquet", says=r"/\*.parquet: no file matches it")


def test_a_file_whose_name_is_a_glob_is_that_file(table: Table, tmp_path: Path) -> None:
    (tmp_path / "[ab].csv").write_bytes(csv(1))
    (tmp_path / "a.csv").write_bytes(csv(2))
    run(table, tmp_path / "[ab].csv")
    assert rows(table) == [1]


def test_one_bad_file_of_several_stops_no_other(table: Table, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"m\n1\n")
    (tmp_path / "b.csv").write_bytes(csv(2))
    (tmp_path / "c.csv").write_bytes(b"n\nx\n")
    said, errors = refused(table, f"{tmp_path}/*.csv", says="2 of 3 files were not loaded")
    assert "b.csv: 1 rows landed" in said
    assert "a.csv: it lacks columns that the table requires: n" in errors
    assert "c.csv: nothing was loaded, because 1 of 1 rows" in errors
    assert rows(table) == [2]


def test_a_file_that_changed_within_its_load_is_refused(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    good, bad = b'{"n": 1}\n' * 6000, b'{"n": -1}\n' * 9000
    file.write_bytes(good + bad)
    refused(table, file, says="stopped, because", chunk_rows=1000)
    landed = len(rows(table))
    file.write_bytes(good)
    refused(table, file, says=r"it has changed since its load into \S+ was begun.*Put back what")
    assert len(rows(table)) == landed == 6000
    copy = tmp_path / "other.ndjson"
    copy.write_bytes(good + bad)
    with pytest.raises(CommandError, match="More than half"):
        run(table, copy, quarantine_limit=0)
    # Its load is done, so that the file may change again.
    file.write_bytes(csv(1).replace(b"n\n1", b'{"n": 7}'))
    assert "1 rows landed" in run(table, file)


# --- The web --------------------------------------------------------------------------------------


class Web(BaseHTTPRequestHandler):
    """A web server whose ``files`` are (content, headers). It logs what it is asked for."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, tuple[bytes, dict[str, str]]]] = {}
    asked: ClassVar[list[dict[str, str]]] = []
    #: After how many bytes answers break off, one after the other.
    breaks: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        content, headers = self.files.get(self.path, (None, {}))
        if content is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        if "Range" in self.headers and headers.get("Accept-Ranges"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else int(headers.get("status", 200)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in headers.items():
            self.send_header(name, value)
        if "no-length" not in headers:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.breaks.pop(0) if self.breaks else None
        self.wfile.write(content[start:end])
        if end or "no-length" in headers:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """The address of a web server."""
    Web.files, Web.asked, Web.breaks = {}, [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_of_the_web_is_loaded_once_and_its_query_stays_secret(
    table: Table, web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Web.files["/a%20b.csv?sig=secret"] = (csv(1, 2), {"ETag": '"1"'})
    Web.files["/a%20b.csv?sig=other"] = (csv(1, 2), {})
    said = run(table, f"{web}/a%20b.csv?sig=secret")
    assert "a b.csv: 2 rows landed" in said
    assert "2 were skipped" in run(table, f"{web}/a%20b.csv?sig=secret")
    assert "2 were skipped" in run(table, f"{web}/a%20b.csv?sig=other")
    assert rows(table) == [1, 2]
    refused(table, f"{web}/none.csv?sig=secret", says=r"none.csv\?[0-9a-f]{12}: the file does not")
    stored = Backfill.objects.get(table=table)
    assert stored.location.startswith(f"{web}/a%20b.csv?")
    assert "secret" not in stored.location + said + "".join(capsys.readouterr())


def test_one_etag_of_two_queries_is_two_files(table: Table, web: str) -> None:
    Web.files["/day.csv?1"], Web.files["/day.csv?2"] = (
        (csv(number), {"ETag": '"1"'}) for number in (1, 2)
    )
    run(table, f"{web}/day.csv?1", f"{web}/day.csv?2")
    assert rows(table) == [1, 2]


def test_a_broken_download_goes_on_where_the_server_has_ranges(table: Table, web: str) -> None:
    content = csv(*range(100_000))
    Web.files["/a.csv"] = (content, {"ETag": '"1"', "Accept-Ranges": "bytes"})
    Web.breaks = [200_000, 100_000]
    assert "100,000 rows landed" in run(table, f"{web}/a.csv")
    assert [one.get("if-range") for one in Web.asked] == [None, '"1"', '"1"']
    assert len(rows(table)) == 100_000


@pytest.mark.parametrize("headers", [{}, {"ETag": '"1"'}, {"ETag": 'W/"1"'}])
def test_a_broken_download_without_ranges_lands_nothing(
    headers: dict[str, str], table: Table, web: str
) -> None:
    Web.files["/a.csv"] = (csv(*range(1000)), headers)
    Web.breaks = [1000, 1000]
    refused(table, f"{web}/a.csv", says=r"the connection broke after [\d,]+ bytes")
    assert not Backfill.objects.filter(table=table).exists()


def test_what_could_be_cut_unseen_or_has_a_login_is_refused(table: Table, web: str) -> None:
    Web.files["/a.csv"] = (csv(1), {"no-length": "1"})
    Web.files["/b.csv"] = (b"", {"status": "503"})
    refused(table, f"{web}/a.csv", says="the server does not say how long it is")
    refused(table, f"{web}/b.csv", says="the server answers with status 503")
    refused(table, "https://u:pw@host/a.csv", says="leave the login out of the URL")
    refused(table, "http://127.0.0.1:1/a.csv?x", says="NewConnectionError, asking the server")
    refused(table, "https:///a.csv", says="write https://host/path")
    refused(table, "ftp://host/a.csv", says="ftp:// can't be read")
    refused(table, f"{web}/a.xls", says="its name does not show its format")
    assert not Backfill.objects.filter(table=table).exists()


def test_a_login_comes_from_netrc(
    table: Table, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password pw\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    Web.files["/a.csv"] = (csv(1), {})
    run(table, f"{web}/a.csv")
    assert Web.asked[0]["authorization"] == "Basic dTpwdw=="


# --- Objects --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[pa_fs.FileSystem]:
    """S3, by moto, with a bucket ``history``. The environment leads there."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patched.setenv("AWS_ACCESS_KEY_ID", "an-id")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        files, _ = pa_fs.FileSystem.from_uri("s3://history?allow_bucket_creation=true")
        files.create_dir("history")
        yield files
    server.stop()


def put(files: pa_fs.FileSystem, path: str, content: bytes) -> None:
    with files.open_output_stream(path) as stream:
        stream.write(content)


def test_objects_of_s3_are_loaded_once_by_their_etags(
    table: Table, s3: pa_fs.FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, "history/2026/a%41 [1].csv", csv(1))
    put(s3, "history/2026/deep/b.csv", csv(2))
    put(s3, "history/other.csv", csv(3))
    said = run(table, "s3://history/2026/**/*.csv", "s3://history/2026/a%41 [1].csv")
    assert "2 files: 2 rows landed" in said
    assert rows(table) == [1, 2]
    assert {backfill.location for backfill in Backfill.objects.filter(table=table)} == {
        "s3://history/2026/a%41 [1].csv",
        "s3://history/2026/deep/b.csv",
    }
    with monkeypatch.context() as patched:
        # What has not changed is not read again.
        patched.setattr("ingestion.backfill.file_run._copy", None)
        assert "2 were skipped" in run(table, "s3://history/2026/**/*.csv")
        refused(table, "s3://history/2026/deep/b.csv", says="other options", null="x")
    put(s3, "history/2026/deep/b.csv", csv(2, 4))
    assert "3 rows landed" not in run(table, "s3://history/2026/**/*.csv")
    assert rows(table) == [1, 2, 2, 4]
    for name, says in (
        ("s3://history/none.csv", "s3://history/none.csv: the file does not exist"),
        ("s3://history/none*.csv", "no file matches it"),
        ("s3://history/2026/", r"name the objects in it, such as s3://history/2026/\*"),
        ("s3://history", "name the objects in it"),
        (
            "s3://id:secret@history/a.csv",
            "s3://history/a.csv: give the bucket by its name|history/",
        ),
        ("s3://hist*/a.csv", "give the bucket by its name"),
    ):
        refused(table, name, says=says)


def test_an_object_that_is_overwritten_while_it_is_read_is_refused(
    table: Table, s3: pa_fs.FileSystem
) -> None:
    put(s3, "history/a.csv", csv(1))
    (place,) = expand(["s3://history/a.csv"])
    assert isinstance(place, RemotePlace)
    with place.opened() as stream:
        put(s3, "history/a.csv", csv(2))
        stream.read(1 << 20)
        with pytest.raises(FileUnreadable, match="it changed while it was read"):
            stream.read(1 << 20)


def test_objects_of_google_cloud_storage_are_loaded(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="history")
    server.start()
    try:
        address = f"http://127.0.0.1:{server._api._httpd.server_port}"
        monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", address)
        upload = f"{address}/upload/storage/v1/b/history/o?uploadType=media&name=a/b.csv"
        headers = {"Content-Type": "text/csv"}
        assert urllib3.request("POST", upload, body=csv(1, 2), headers=headers).status == 200
        assert "2 rows landed" in run(table, "gs://anonymous@history/**/*.csv")
        assert "2 were skipped" in run(table, "gs://anonymous@history/a/b.csv")
        assert rows(table) == [1, 2]
    finally:
        server.stop()
