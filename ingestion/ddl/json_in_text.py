"""SQL that reads JSON from a text of the message or its metadata: ``{"payload": "[1, 2]"}``."""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.ddl import located, marked
from ingestion.ddl.paths import Segment

#: Instead of JSON: for a text that is not JSON, and for a value that is not a text.
BROKEN, NO_TEXT = "!", "?"


def text(message: str, segments: Sequence[Segment]) -> str:
    """The text itself; empty if there is none."""
    return f"JSONExtractString({message}, {located.arguments(segments)})"


def read(message: str, segments: Sequence[Segment]) -> str:
    """The JSON in the text; empty if the message has no value, and no JSON if it is no such text.

    The engine's copy of it, as elsewhere: without blanks around.
    """
    return _if_json(message, segments, f"JSONExtractRaw({text(message, segments)})")


def read_again(message: str, segments: Sequence[Segment]) -> str:
    """The same as marked JSON."""
    found = f"JSONExtractRaw({marked.marked(text(message, segments))})"
    return _if_json(message, segments, found)


def _if_json(message: str, segments: Sequence[Segment], found: str) -> str:
    kind = f"JSONType({message}, {located.arguments(segments)})"
    return (
        f"multiIf({kind} = 'Null', '', {kind} != 'String', '{NO_TEXT}', "
        f"isValidJSON({text(message, segments)}), {found}, '{BROKEN}')"
    )
