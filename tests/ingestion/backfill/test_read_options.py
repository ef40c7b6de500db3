"""Options say how a file is read, and a backfill goes on with those that it was begun with."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ingestion.backfill import load as loading
from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import Format, describe
from ingestion.backfill.read_options import ReadOptions
from ingestion.models import Backfill, BackfillChunk, Table
from tenants.models import Tenant
from tenants.warehouse import client

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "s", "type": "Nullable(String)", "required": False},
]


@pytest.fixture
def table(
    tenant_factory_of_file: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> Table:
    return table_factory(tenant_factory_of_file("options"), COLUMNS, sorting_key=["n"])


def run(table: Table, file: Path, *arguments: str) -> str:
    out = io.StringIO()
    call_command("backfill", str(table), str(file), *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def rows(table: Table) -> list[tuple[int, str | None]]:
    database = table.tenant.warehouse.database
    return [
        (row["n"], row["s"])
        for row in client.rows(f"SELECT n, s FROM {database}.{table.name} ORDER BY n")
    ]


def killed_at_the_third(
    table: Table, file: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> None:
    """Run until the third insert, which lands but is not noted."""
    insert, calls = loading.inbox.insert, []

    def dies(*given: Any) -> None:
        insert(*given)
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loading.inbox, "insert", dies)
        with pytest.raises(CommandError, match="Run the same command again"):
            run(table, file, "--chunk-rows=100", *arguments)
    assert BackfillChunk.objects.filter(backfill__table=table, done_at=None).count() == 1
    assert len(rows(table)) == 300


WANTED = [(n, f"é{n}") for n in range(1000)]
OBJECTS = [{"n": n, "s": s} for n, s in WANTED]
SEMICOLONS = "n;s\n" + "".join(f"{n};{s}\n" for n, s in WANTED)
FORMS: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("array.json", json.dumps(OBJECTS, indent=1).encode(), ()),
    ("array.json.gz", gzip.compress(json.dumps(OBJECTS).encode("utf-16"), mtime=0), ()),
    ("objects.json", "\n".join(json.dumps(row, indent=2) for row in OBJECTS).encode(), ()),
    ("semicolons.csv", SEMICOLONS.encode(), ()),
    ("utf16.csv", SEMICOLONS.replace(";", "\t").encode("utf-16"), ()),
    ("stars.csv", SEMICOLONS.replace(";", "*").encode("latin-1"),
     ("--delimiter=*", "--encoding=latin1")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "arguments"), FORMS)
def test_a_killed_run_of_any_form_is_gone_on_with_and_doubles_nothing(
    name: str,
    content: bytes,
    arguments: tuple[str, ...],
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    killed_at_the_third(table, file, monkeypatch, *arguments)
    # What the first run was told or found out is kept, so the next need not be told.
    assert "800 rows landed" in run(table, file)
    assert rows(table) == WANTED
    assert "1,000 were skipped" in run(table, file, *arguments)
    assert rows(table) == WANTED


def test_other_options_than_it_was_begun_with_are_refused(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.csv"
    file.write_text(SEMICOLONS)
    killed_at_the_third(table, file, monkeypatch, "--null=é500")
    for argument, says in (
        ("--delimiter=,", r"--delimiter ',' \(';'\)"),
        ("--encoding=latin-1", r"--encoding 'iso8859-1' \('utf-8'\)"),
        ("--null=", r"--null '' \('é500'\)"),
        ("--format=ndjson", r"--format 'ndjson' \('csv'\)"),
    ):
        with pytest.raises(CommandError, match=f"begun with other options.*: {says}. Give what"):
            run(table, file, argument)
    assert len(rows(table)) == 300
    run(table, file, "--null=é500", "--delimiter=;", "--encoding=UTF-8")
    assert rows(table) == [(n, None if n == 500 else s) for n, s in WANTED]
    with pytest.raises(CommandError, match="begun with other options"):
        run(table, file, "--null=NA")
    assert Backfill.objects.get(table=table).state == "done"


def test_a_delimiter_is_kept_when_the_columns_that_showed_it_are_gone(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.csv"
    file.write_text(SEMICOLONS)
    killed_at_the_third(table, file, monkeypatch)
    monkeypatch.setattr(loading, "delimiter_of", None)
    run(table, file)
    assert rows(table) == WANTED


def test_options_may_change_while_nothing_is_loaded(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("n*s\n1*ann\n2*NA\n")
    with pytest.raises(CommandError, match=r"lacks columns.*It has 'n\*s'"):
        run(table, file)
    run(table, file, "--delimiter=*", "--null=NA")
    assert rows(table) == [(1, "ann"), (2, None)]
    kept = Backfill.objects.get(table=table).options
    assert kept == {"delimiter": "*", "encoding": "utf-8", "null": "NA", "rules": 2}


def test_a_backfill_from_before_options_goes_on_as_it_was_begun(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.csv"
    text = "n,s\n" + "".join(f'{n},""\n' for n in range(400)) + '400,"a\n401,b"c\n402,d\n'
    file.write_text(text)
    with monkeypatch.context() as before:
        stored = {"delimiter": ",", "encoding": "utf-8", "null": None, "rules": 1}
        before.setattr(loading, "_found_out", lambda *_: ReadOptions(**stored))
        killed_at_the_third(table, file, monkeypatch)
    Backfill.objects.filter(table=table).update(options=None)
    run(table, file)
    run(table, file)
    assert rows(table) == [(n, None) for n in range(400)] + [(400, "a\n401,bc"), (402, "d")]


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--delimiter=ab", "'ab' is no delimiter"),
        ("--delimiter=", "'' is no delimiter"),
        ('--delimiter="', "is no delimiter"),
        ("--delimiter=x", "'x' is no delimiter"),
        ("--encoding=klingon", "'klingon' is no encoding that is known"),
        ("--encoding=base64", "'base64' is no encoding that is known"),
        ("--null=\n", "is no marker"),
        ('--null="', "is no marker"),
    ],
)
def test_an_option_that_can_not_be_is_refused(argument: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("backfill", "a.b", str(tmp_path / "a.csv"), argument)


def test_an_option_that_means_nothing_to_the_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"{}")
    for form, options, says in (
        (Format.NDJSON, ReadOptions(delimiter=";"), "--delimiter is for csv, and this .* ndjson"),
        (Format.PARQUET, ReadOptions(null=""), "--null is for csv, and this .* parquet"),
        (Format.PARQUET, ReadOptions(encoding="cp1252"), "--encoding is for csv and ndjson, and"),
    ):
        with pytest.raises(FileUnreadable, match=says):
            describe(path, form, options)


def test_tab_can_be_written_as_a_word(table: Table, tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("n\ts\n1\ta,b\n")
    run(table, file, "--delimiter=tab")
    assert rows(table) == [(1, "a,b")]
