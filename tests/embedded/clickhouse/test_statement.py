"""What the embedded server itself reads in a statement; no engine is asked."""

from __future__ import annotations

import pytest

from millrace.embedded.clickhouse.statement import (
    Insertion,
    first_words,
    insertion,
    is_lasting,
    is_read,
    output_format,
    tokens,
)


def test_the_first_words_are_in_capitals_and_no_comment_is_among_them() -> None:
    sql = b"-- select\n# drop\n/* with\nmore */ insert  Into t -- x"
    assert first_words(sql, 4) == ["INSERT", "INTO", "T"]
    assert first_words(sql) == ["INSERT", "INTO"]


@pytest.mark.parametrize(
    "quoted", [b"'it''s \\' FORMAT'", b'"a""b\\" VALUES"', b"`a``b\\` SELECT`", b"'-- no comment'"]
)
def test_quoted_text_is_one_token_as_it_stands(quoted: bytes) -> None:
    found = list(tokens(quoted + b" x"))
    assert [(token.kind, token.text) for token in found] == [
        ("quoted", quoted.decode()),
        ("word", "X"),
    ]
    assert (found[0].start, found[0].end) == (0, len(quoted))


def test_data_follows_the_line_of_its_format() -> None:
    sql = b"INSERT INTO t (a, b) FORMAT CSV\n1,2\n"
    assert insertion(sql, "") == Insertion("INSERT INTO t (a, b)", "CSV", sql.index(b"1,2"))


@pytest.mark.parametrize(
    ("between", "data"),
    [
        (b" ;\r\n", b"1"),
        (b"\r\n", b"1"),
        (b" ", b"1"),
        (b";", b"1"),
        (b"\n\n", b"\n1"),
        (b"\n;", b";1"),
    ],
)
def test_a_blank_a_semicolon_and_one_line_break_are_no_data(between: bytes, data: bytes) -> None:
    sql = b"INSERT INTO t FORMAT TSV" + between + b"1"
    read = insertion(sql, "")
    assert read is not None
    assert sql[read.data_at :] == data


def test_binary_data_is_not_read() -> None:
    sql = b"INSERT INTO t FORMAT RowBinary\n\xff'\x00SELECT"
    read = insertion(sql, "")
    assert read is not None
    assert (read.form, sql[read.data_at :]) == ("RowBinary", b"\xff'\x00SELECT")


def test_values_begin_behind_their_keyword() -> None:
    sql = b"INSERT INTO t (a) VALUES (1), ('FORMAT CSV')"
    read = insertion(sql, "CSV")
    assert read == Insertion("INSERT INTO t (a)", "Values", sql.index(b" (1)"))


@pytest.mark.parametrize(("default", "form"), [("JSONEachRow", "JSONEachRow"), ("", "Values")])
def test_without_a_format_the_requests_own_counts(default: str, form: str) -> None:
    sql = b"INSERT INTO t (a) ; "
    assert insertion(sql, default) == Insertion("INSERT INTO t (a)", form, len(sql))


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t FORMAT ",
    ],
)
def test_an_insert_without_data_is_left_to_the_engine(sql: bytes) -> None:
    assert insertion(sql, "CSV") is None


def test_a_subquery_in_brackets_is_no_select_of_the_insert() -> None:
    read = insertion(b"INSERT INTO FUNCTION remote((SELECT 1)) FORMAT CSV\n1", "")
    assert read is not None
    assert read.form == "CSV"


@pytest.mark.parametrize("word", ["values", "format", "settings", "select", "with"])
@pytest.mark.parametrize("name", ["{}", "d.{}", "d . {}", "{}.t", "TABLE {}", "TABLE d.{}"])
def test_a_table_may_have_the_name_of_a_keyword(name: str, word: str) -> None:
    """Such an insert was cut at the table's name, and refused with a syntax error."""
    head = f"INSERT INTO {name.format(word)}"
    for rest, form in ((" VALUES (1)", "Values"), (" FORMAT CSV\n1", "CSV")):
        read = insertion(f"{head}{rest}".encode(), "")
        assert read is not None
        assert (read.head, read.form, read.settings) == (head, form, "")
    assert insertion(f"{head} SELECT 1".encode(), "") is None


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t SETTINGS a = 1, b = 'x' FORMAT CSV\n1",
        b"INSERT INTO t FORMAT CSV SETTINGS a = 1, b = 'x'\n1",
        b"INSERT INTO t SETTINGS a = 1, b = 'x' VALUES 1",
    ],
)
def test_settings_are_taken_out_of_the_head_wherever_they_stand(sql: bytes) -> None:
    read = insertion(sql, "")
    assert read is not None
    assert (read.head, read.settings) == ("INSERT INTO t", "SETTINGS a = 1, b = 'x'")
    assert sql[read.data_at :].strip() == b"1"


def test_the_statements_own_settings_come_last_so_that_they_win() -> None:
    plain = Insertion("INSERT INTO t", "CSV", 0)
    own = Insertion("INSERT INTO t", "CSV", 0, "SETTINGS a = 1")
    assert plain.given([]) is plain
    assert plain.given([("b", "it's")]).settings == "SETTINGS b = 'it\\'s'"
    assert own.given([("a", "2"), ("b", "3")]).settings == "SETTINGS a = '2', b = '3',  a = 1"


def test_only_a_select_is_streamed() -> None:
    for word in ("SELECT", "WITH", "FROM", "("):
        assert is_read([word, "x"])
    for word in ("INSERT", "SHOW", "EXPLAIN", "CREATE", "SET"):
        assert not is_read([word, "SELECT"])
    assert not is_read([])


def test_what_a_connection_keeps_is_lasting() -> None:
    for words in (["SET", "A"], ["USE", "D"], ["BEGIN"], ["CREATE", "TEMPORARY", "TABLE"]):
        assert is_lasting(words)
    for words in (["SELECT", "1"], ["INSERT", "INTO", "SET"], ["CREATE", "TABLE"], []):
        assert not is_lasting(words)


@pytest.mark.parametrize(
    ("sql", "form"),
    [
        ("SELECT 1 FORMAT CSV", "CSV"),
        ("SELECT 1 format JSON ; ", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS a = 1, b = 'x y'", "JSON"),
        ("SELECT 1 SETTINGS a = 1 FORMAT JSON", "JSON"),
        ("SELECT 1", ""),
        ("SELECT 'FORMAT CSV'", ""),
        ("SELECT 1 FORMAT CSV -- as a file", "CSV"),
        ("SELECT 1 FORMAT CSV; /* as\na file */ # x", "CSV"),
        ("SELECT 1 FORMAT /* as a file */ CSV", "CSV"),
        ("SELECT 1 -- FORMAT CSV", ""),
        ("SELECT 1 /* FORMAT CSV */", ""),
        ("SELECT '-- no comment' FORMAT CSV", "CSV"),
        ("SELECT '/*' FORMAT CSV -- */", "CSV"),
        ("SELECT $a$ /* ' $a$ FORMAT CSV -- x", "CSV"),
        ("SELECT $$ FORMAT JSON -- $$ FORMAT CSV", "CSV"),
        ("SELECT a$b$ FORMAT CSV -- x", "CSV"),
        ("SELECT format FROM `t` -- no format", ""),
        ("SELECT t.format x", ""),
        ("SELECT format FROM t ORDER BY x, format ASC", ""),
        ("SELECT format FROM t ORDER BY format DESC;", ""),
        ("SELECT CASE WHEN x THEN format END", ""),
        ("SELECT x FROM format FINAL", ""),
        ("SELECT x FROM t ORDER BY format ASC FORMAT JSON", "JSON"),
    ],
)
def test_the_format_at_a_querys_end_and_no_column_of_that_name(sql: str, form: str) -> None:
    name, at = output_format(sql)
    assert name == form
    assert sql[at:].upper().startswith("FORMAT") if form else at == len(sql)


@pytest.mark.parametrize("sign", ["/* ", "\\'", '\\"', "\\`", "$a$ b$"])
def test_signs_that_are_never_closed_are_read_once(sign: str) -> None:
    """Were each of them tried to the end, this would take an hour, and hold the whole server."""
    sql = f"SELECT -- x\n{sign * 300_000} AS format"
    assert output_format(sql) == ("", len(sql))
    every = list(tokens(sql.encode()))
    assert every[0].text == "SELECT"


@pytest.mark.parametrize(
    "text",
    ["FORMAT x SETTINGS " + " " * 50_000, "FORMAT x SETTINGS " * 5_000, "FORMAT" + " " * 90_000],
)
def test_what_looks_like_a_format_within_a_string_is_tried_once(text: str) -> None:
    """The blanks alone would take longer than a day, and hold the whole server."""
    sql = f"SELECT '{text}!'"
    assert output_format(sql) == ("", len(sql))
    assert output_format(f"{sql} FORMAT CSV SETTINGS a = 'b'{' ' * 50_000}")[0] == "CSV"
