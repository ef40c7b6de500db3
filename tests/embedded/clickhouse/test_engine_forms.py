"""Queries that come as HTML forms, and the files in them."""

from __future__ import annotations

import pytest

from millrace.embedded.clickhouse import forms
from millrace.embedded.clickhouse.errors import BadRequest

TYPE = "multipart/form-data; boundary=x"


def part(head: str, value: bytes) -> bytes:
    return (
        b"--x\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"
    )


def multipart(*parts: bytes, content_type: str = TYPE) -> forms.Form:
    return forms.multipart(content_type, b"".join(parts) + b"--x--\r\n")


def test_fields_and_files_are_told_apart_by_the_filename() -> None:
    form = multipart(
        part('name="param_a"', b"1"),
        part('name="ids"; filename="ids.csv"', b"1,2\r\n3,4"),
        part("filename=b.tsv; name=b", b""),
    )
    assert form.fields == {"param_a": "1"}
    assert form.files == {"ids": b"1,2\r\n3,4", "b": b""}


def test_parts_of_the_query_are_joined_and_of_any_other_name_the_last_counts() -> None:
    form = multipart(
        part('name="query"', b"SELECT "),
        part('name="a"', b"1"),
        part('name="query"', b"1"),
        part('name="a"', b"2"),
    )
    assert form.fields == {"query": "SELECT 1", "a": "2"}


def test_a_value_keeps_its_line_breaks_and_dashes() -> None:
    value = b"\r\n--y\r\n -- x\n\r\n"
    assert multipart(part('name="f"; filename="f"', value)).files == {"f": value}


def test_what_follows_the_last_boundary_is_not_read() -> None:
    body = part('name="a"', b"1") + b"--x--\r\n" + part('name="b"', b"2")
    assert forms.multipart(TYPE, body).fields == {"a": "1"}


def test_a_boundary_may_be_quoted_and_headers_in_any_case() -> None:
    head = b'content-type: text/plain\r\nCONTENT-DISPOSITION: form-data; NAME="n"'
    body = b"--a b\r\n" + head + b"\r\n\r\nv\r\n"
    read = forms.multipart('Multipart/Form-Data; BOUNDARY="a b"; charset=x', body + b"--a b--")
    assert read.fields == {"n": "v"}
    assert forms.is_form('Multipart/Form-Data; BOUNDARY="a b"')
    assert not forms.is_form("application/x-www-form-urlencoded")


def test_bytes_that_are_not_utf_8_are_kept() -> None:
    """As replacement characters they were bound or stored as another text, without an error."""
    assert multipart(part('name="query"', b"\xff")).fields == {"query": "\udcff"}
    assert forms.urlencoded(b"query=%FF&param_a=\xff").fields == {
        "query": "\udcff",
        "param_a": "\udcff",
    }


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("multipart/form-data", b"--x--", "no boundary"),
        (TYPE, b'--x\r\nContent-Disposition: form-data; name="a"\r\n', "no head"),
        (TYPE, b"--x\r\nContent-Type: text/plain\r\n\r\n1\r\n--x--", "no name"),
        (TYPE, b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\n1\r\n--x--', "no name"),
    ],
)
def test_a_form_that_is_none_is_refused(content_type: str, body: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as refused:
        forms.multipart(content_type, body)
    assert refused.value.status == 400


def test_a_urlencoded_form_keeps_empty_values_and_decodes() -> None:
    form = forms.urlencoded(b"query=SELECT+1%3B&param_a=&param_b=%C3%BC")
    assert form.fields == {"query": "SELECT 1;", "param_a": "", "param_b": "ü"}


def test_a_plain_query_that_curl_labels_a_form_is_none() -> None:
    assert forms.looks_like_one(b"query=SELECT 1")
    assert forms.looks_like_one(b"param_a=1&query=x")
    assert not forms.looks_like_one(b"SELECT 1 AS query=1")
