"""What is a draft beside the version that answers, and when it is none any more."""

from __future__ import annotations

from typing import Any

import pytest

from analytics_api.selectors import drafts
from analytics_api.services import saved_queries


@pytest.mark.parametrize("text", ["SELECT  n\nFROM events", "SELECT n FROM events -- all of them"])
def test_publishing_other_blanks_or_comments_ends_the_draft(text: str, api: Any) -> None:
    query = api.publish("all", "SELECT n FROM events")
    query.sql = text
    query.save()
    version = saved_queries.publish(query)
    query.refresh_from_db()
    assert (version.number, version.text) == (1, text)
    assert not drafts.has_draft(query)
    assert drafts.written(query.published) == text
    saved_queries.discard_draft(query)
    assert query.sql == text
