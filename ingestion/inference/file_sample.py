"""Samples of files, read as a backfill reads them, and of bytes whose format is not known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from ingestion.backfill.file import Format, HistoryFile, describe
from ingestion.backfill.read_options import ReadOptions
from ingestion.backfill.readers import READERS
from ingestion.ddl.spec import ColumnSpec
from ingestion.inference.sample import BYTES, Sample, limited

_BOM = b"\xef\xbb\xbf"


def of_file(file: HistoryFile) -> Sample:
    """A sample of the file's first rows; reading it raises FileUnreadable."""

    def messages(columns: tuple[ColumnSpec, ...]) -> list[bytes]:
        blocks = READERS[file.format](file, columns)
        return limited(message for block in blocks for message in block.messages)

    return Sample(messages, is_of_texts=file.format is Format.CSV)


@contextmanager
def of_stream(
    stream: IO[bytes], form: Format | None = None, options: ReadOptions | None = None
) -> Iterator[Sample]:
    """A sample of the first 16 MiB of a stream, by a copy that lasts as long as the context.

    ``form``: if None, the first bytes tell. Raises FileUnreadable.
    """
    content = stream.read(BYTES)
    with tempfile.NamedTemporaryFile(prefix="infer-", suffix=".sample") as copy:
        copy.write(content)
        copy.flush()
        file = describe(Path(copy.name), form or format_of(content), options)
        # Errors name the sample, and not the copy on this machine.
        yield of_file(replace(file, location="sample"))


def format_of(content: bytes) -> Format:
    """The format that the first bytes show: Parquet, JSON, otherwise CSV."""
    if content.startswith(b"PAR1"):
        return Format.PARQUET
    text = content[:64].removeprefix(_BOM).lstrip()
    return Format.NDJSON if text[:1] in {b"{", b"["} else Format.CSV
