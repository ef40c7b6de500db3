"""CSV's quotes: empty or not, the marker of no value, and quotes that are not closed."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import describe
from ingestion.backfill.read_options import ReadOptions
from ingestion.backfill.readers import READERS, csv_rows
from ingestion.ddl.spec import ColumnSpec

COLUMNS = [
    ColumnSpec(name="n", type="UInt32"),
    ColumnSpec(name="s", type="String"),
    ColumnSpec(name="o", type="Nullable(String)", required=False),
    ColumnSpec(name="d", type="Nullable(Date)", required=False),
]
Read = Callable[..., list[Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def rows(content: str, columns: list[ColumnSpec] = COLUMNS, **options: Any) -> list[Any]:
        path = tmp_path / "a.csv"
        path.write_bytes(content.encode())
        file = describe(path, options=ReadOptions(**options))
        messages = [one for part in READERS[file.format](file, columns) for one in part.messages]
        return [json.loads(message) for message in messages]

    return rows


EMPTY = 'n,s,o,d\n1,,,\n2,"","",""\n3,"a""b","""","2026-01-01"\n4,"x\ny",,""\n'


def test_a_bare_empty_field_is_no_value_and_a_quoted_one_is_the_empty_text(read: Read) -> None:
    assert [[row["s"], row["o"], row["d"]] for row in read(EMPTY)] == [
        ["", None, None],
        ["", "", None],
        ['a"b', '"', "2026-01-01"],
        ["x\ny", None, None],
    ]


def test_a_marker_is_no_value_unless_it_is_in_quotes(read: Read) -> None:
    content = 'n,s,o,d\n1,NA,NA,NA\n2,"NA","NA",\n3,,NAN,\nNA,x,"","NA"\n'
    assert [list(row.values()) for row in read(content, null="NA")] == [
        [1, None, None, None],
        [2, "NA", "NA", None],
        [3, "", "NAN", None],
        [None, "x", "", "NA"],
    ]
    assert read(content)[0] == {"n": 1, "s": "NA", "o": "NA", "d": "NA"}
    # An empty marker also makes the empty field of a required text no value.
    assert [row["s"] for row in read(EMPTY, null="")] == [None, "", 'a"b', "x\ny"]
    assert read(content.replace("NA", r"\N"), null=r"\N")[0]["o"] is None
    assert read(content.replace(",", ";"), null="NA")[1]["o"] == "NA"


def test_a_marker_in_the_header_is_a_name(read: Read) -> None:
    assert read("n,s,NA\n1,x,NA\n", null="NA") == [{"n": 1, "s": "x", "NA": None}]
    assert read("n,s,\n1,x,y\n", null="") == [{"n": 1, "s": "x", "": "y"}]


def test_quotes_that_are_closed_are_read_as_any_parser_reads_them(read: Read) -> None:
    chance = random.Random(5)
    table = [
        [str(n), *("".join(chance.choices(',"\r\n xé', k=chance.randrange(4))) for _ in "sod")]
        for n in range(500)
    ]
    for quoting_of_all in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        text = io.StringIO(newline="")
        csv.writer(text, quoting=quoting_of_all).writerows([["n", "s", "o", "d"], *table])
        texts = [replace(column, type="String", required=True) for column in COLUMNS]
        assert [list(row.values()) for row in read(text.getvalue(), texts, null="x")] == [
            [
                None if field == "x" and quoting_of_all == csv.QUOTE_MINIMAL else field
                for field in row
            ]
            for row in table
        ]


@pytest.mark.parametrize(
    ("content", "broken"),
    [
        ('1,"ann,,\n2,bob,,\n3,eve,,\n', [1]),
        ('1,"ann,,\n2,"bob",,\n3,eve,,\n', [1]),
        ('1,ann,,\n2,bob,,\n3,"eve', [3]),
        ('1,"an"n,,\n2,bob,,\n3,"eve" ,,\n', [1, 3]),
        ('1,"a\nnn"x,,\n2,bob,,\n3,eve,,\n', [1, 1]),
    ],
)
def test_an_unclosed_quote_names_its_line_and_takes_no_other_line_with_it(
    content: str, broken: list[int], read: Read
) -> None:
    rows = read("n,s,o,d\n" + content)
    fitting = [row["n"] for row in rows if isinstance(row, dict)]
    assert fitting == [n for n in (1, 2, 3) if n not in broken]
    misfits = [row for row in rows if isinstance(row, list)]
    first, text = misfits[0]
    assert first.startswith(f"line {broken[0] + 1}: a quote is not closed")
    assert text == content.split("\n")[broken[0] - 1]
    assert len(misfits) == len(broken)


def test_a_quote_that_another_closes_makes_one_row_with_all_of_its_text(read: Read) -> None:
    # Whether those lines are text or rows can't be known, so none of them may land.
    rows = read('n,s,o,d\n1,"ann,,\n2,bob,,"\n3,eve,,\n')
    assert rows[0] == ["1", "ann,,\n2,bob,,"]
    assert rows[1]["n"] == 3


def test_a_line_number_counts_all_lines_before_it(read: Read) -> None:
    rows = read('n,s,o,d\r\n\r\n1,"a\r\nb",,\r\n2,"x,,\r\n\r\n3,"y,,\r\n4,z,,\r\n')
    assert [row["n"] if isinstance(row, dict) else row[0].split(":")[0] for row in rows] == [
        *(1, "line 5", "line 7", 4)
    ]


def test_a_broken_line_is_no_row_of_a_header_of_two_names(read: Read) -> None:
    assert isinstance(read('n,s\n1,"ann\n2,bob\n')[0], list)


def test_a_quote_that_is_closed_far_away_is_unclosed(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "_FIELD", 1000)
    rows = read('n,s,o,d\n1,"x,,\n' + "2,y,,\n" * 500 + '3,"z",,\n')
    assert rows[0][0].startswith("line 2: a quote is not closed")
    assert [row["n"] for row in rows[1:]] == [*[2] * 500, 3]
    with pytest.raises(FileUnreadable, match="line 3: field larger than field limit"):
        read("n,s,o,d\n1,x,,\n2," + "y" * 1001 + ",,\n")


def test_a_backfill_from_before_reads_quotes_as_it_began_to(read: Read) -> None:
    rows = read(EMPTY + '5,"x\n6,y"z,,\n', rules=1)
    assert [row["o"] for row in rows[:2]] == [None, None]
    assert rows[-1] == {"n": 5, "s": "x\n6,yz", "o": None, "d": None}
