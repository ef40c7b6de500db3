"""Words and figures of admin pages."""

from __future__ import annotations

import pytest

from tenants.admin import display


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 keys were"), (1, "1 key was"), (1_200, "1,200 keys were")]
)
def test_a_count_agrees_with_its_noun(count: int, said: str) -> None:
    assert display.were(count, "key") == said
