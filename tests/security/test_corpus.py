"""The corpus itself: large, of every kind, and each attack in it once."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.security import attacks

pytestmark = pytest.mark.security


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    by_kind = {kind: attacks.of(kind) for kind in attacks.kinds()}
    assert sum(map(len, by_kind.values())) >= 900
    assert len(by_kind) == 14
    for kind, found in by_kind.items():
        assert len(found) >= 15, kind
        texts = Counter(one.text for one in found)
        assert max(texts.values()) == 1, texts.most_common(2)
        assert all(one.what for one in found)
        assert len({one.what for one in found}) == len(found), kind
