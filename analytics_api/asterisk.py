"""Limits ``*`` to a table's own columns, without the seven technical columns of every row.

A query can still name the seven. In ClickHouse they are columns like any other: workers write them
and the ledger reads them, so they stay as they are there. Instead `` EXCEPT (…)`` is inserted after
each ``*`` over a table, in the text that the guard then checks and that runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from analytics_api.guard import lexer
from analytics_api.guard.lexer import Token, TokenKind

TECHNICAL = (
    *("_source", "_partition", "_offset", "_timestamp", "_message_id", "_batch"),
    "_ingested_at",
)
#: The ending of the quarantine table beside each table that events land in.
_QUARANTINE = "__quarantine"
_SET_OPERATORS = ("UNION", "INTERSECT", "EXCEPT")
_ENDS_SOURCES = (
    *("SELECT", "WHERE", "PREWHERE", "GROUP", "HAVING", "QUALIFY", "WINDOW", "ORDER", "LIMIT"),
    *("OFFSET", "FETCH", "SETTINGS"),
)
_NO_ALIAS = frozenset(
    """
    FINAL SAMPLE JOIN LEFT RIGHT INNER OUTER FULL CROSS ANY ALL ASOF SEMI ANTI GLOBAL LOCAL PASTE
    NATURAL ON USING ARRAY UNION INTERSECT EXCEPT
    """.split()  # noqa: SIM905 - twenty quoted words are harder to read
).union(_ENDS_SOURCES)


@dataclass(frozen=True)
class _FromItem:
    """A source after FROM or JOIN. ``is_table``: its rows have the seven technical columns."""

    name: str
    is_table: bool


def own_columns(sql: str, tables: Collection[str], *, is_written: bool = False) -> str:
    """The statement with each ``*`` over one of the tenant's ``tables`` limited to its own columns.

    ``is_written``: ClickHouse has written ``sql``. Raises QueryRefused if it can't be read.
    """
    landing = {name for name in tables if f"{name}{_QUARANTINE}" in tables}
    tokens = list((lexer.written_tokens if is_written else lexer.tokens)(sql))
    if not landing or not any(token.text == "*" for token in tokens):
        return sql
    statement = _StarStatement(tokens, landing)
    parts: list[str] = []
    end = 0
    for position, text in statement.insertions():
        parts += [sql[end:position], text]
        end = position
    return "".join([*parts, sql[end:]])


class _StarStatement:
    """A statement's tokens, and for each the bracket around it."""

    def __init__(self, tokens: Sequence[Token], landing: Collection[str]) -> None:
        self.tokens = tokens
        self.landing = landing
        #: For each token the index of the bracket around it; -1 outside all brackets.
        self.around: list[int] = []
        #: For each bracket the indices of the tokens directly inside it.
        self.inside: defaultdict[int, list[int]] = defaultdict(list)
        #: For each token the index of the SELECT before it, in its bracket or one around it.
        self.selects: list[int | None] = []
        #: For each opening bracket the index of its closing one, and the other way round.
        self.closing: dict[int, int] = {}
        self.opening: dict[int, int] = {}
        self._place_all()
        self.ctes = dict(self._ctes())
        #: For each of the seven the indices of the tokens that name it; and how many, by bracket.
        self.named: dict[str, list[int]] = {name: [] for name in TECHNICAL}
        for at, token in enumerate(tokens):
            if token.name in self.named:
                self.named[token.name].append(at)
        self.named_in = Counter(
            (name, self.around[at]) for name, places in self.named.items() for at in places
        )
        #: For each SELECT its sources by name, with all of them under ''. Kept, since a statement
        #: may have thousands of stars.
        self._by_name: dict[int, dict[str, list[_FromItem]]] = {}
        self._known: dict[tuple[int, str], list[str]] = {}

    def _place_all(self) -> None:
        opened: list[int] = [-1]
        selects: list[int | None] = [None]
        for index, token in enumerate(self.tokens):
            if token.text in (")", "]") and len(opened) > 1:
                bracket, _ = opened.pop(), selects.pop()
                self.closing[bracket], self.opening[index] = index, bracket
            if token.is_word("SELECT"):
                selects[-1] = index
            self.inside[opened[-1]].append(index)
            self.around.append(opened[-1])
            self.selects.append(selects[-1])
            if token.text in ("(", "["):
                opened.append(index)
                selects.append(selects[-1])

    def insertions(self) -> Iterator[tuple[int, str]]:
        """The insertions, ``(offset, text)``, from left to right."""
        for index, token in enumerate(self.tokens):
            if token.text == "*" and self._is_asterisk(index):
                hidden = self._hidden(index)
                if hidden:
                    yield from self._insertions(index, hidden)

    def _insertions(self, index: int, hidden: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Insertions that add names to the EXCEPT after the star, or add an EXCEPT."""
        names = ", ".join(hidden)
        behind = self.tokens[index + 2] if index + 2 < len(self.tokens) else None
        if behind is None or not self._excludes_names(index + 1):
            yield self.tokens[index].start + 1, f" EXCEPT ({names})"
        elif behind.text != "(":
            yield behind.start, f"({names}, "
            yield behind.start + len(behind.text), ")"
        else:
            there = {token.name for token in self.tokens[index + 3 : self._end_of(index + 2)]}
            yield behind.start + 1, "".join(f"{name}, " for name in hidden if name not in there)

    def _excludes_names(self, index: int) -> bool:
        """Whether ``EXCEPT a`` or ``EXCEPT (a, b)`` is here, not one with a pattern or a SELECT."""
        if not self._is_word(index, "EXCEPT") or self._is_set_operator(index):
            return False
        first = index + 1 + (self._text(index + 1) == "(")
        token = self.tokens[first] if first < len(self.tokens) else None
        is_name = token is not None and token.kind in (TokenKind.WORD, TokenKind.QUOTED)
        return is_name and not self._is_word(first, "STRICT")

    def _text(self, index: int) -> str:
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""

    def _is_word(self, index: int, *words: str) -> bool:
        return 0 <= index < len(self.tokens) and self.tokens[index].is_word(*words)

    # --- Which stars are asterisks, not multiplications -------------------------------------------

    def _is_asterisk(self, index: int) -> bool:
        before = index - 1
        if self._text(before) == "(":
            is_count = self._text(before - 1).lower() == "count" and self._text(index + 1) == ")"
            return not is_count
        if self._text(before) == ")":
            opening = self.opening.get(before, 0)
            return self._is_word(opening - 1, "ON") and self._is_word(opening - 2, "DISTINCT")
        return (
            self._text(before) in (",", ".", "[")
            or self._is_word(before, "SELECT", "DISTINCT")
            or self._is_word(before - 1, "TOP")
        )

    # --- The sources that they stand for ----------------------------------------------------------

    def _hidden(self, index: int) -> list[str]:
        """The technical columns to leave out of the asterisk."""
        select = self.selects[index]
        if select is None:
            return []
        qualifier = self.tokens[index - 2].name if self._text(index - 1) == "." else ""
        if (select, qualifier) not in self._known:
            self._known[select, qualifier] = self._hidden_of(select, qualifier)
        return self._known[select, qualifier]

    def _hidden_of(self, select: int, qualifier: str) -> list[str]:
        if select not in self._by_name:
            self._by_name[select] = self._sources_by_name(select)
        sources = self._by_name[select].get(qualifier, [])
        if not any(source.is_table for source in sources):
            return []
        group = self.around[select]
        kept = self._named_around(group)
        if not all(source.is_table for source in sources):
            kept |= self._named_apart_from(group)
        return [name for name in TECHNICAL if name not in kept]

    def _sources_by_name(self, select: int) -> dict[str, list[_FromItem]]:
        sources = list(self._sources(select))
        by_name: dict[str, list[_FromItem]] = {"": sources}
        for source in sources:
            if source.name:
                by_name.setdefault(source.name, []).append(source)
        return by_name

    def _sources(self, select: int) -> Iterator[_FromItem]:
        start = self._from_of(select)
        if start is None:
            return
        is_expected, is_array = True, False
        for index in self._behind(start):
            token = self.tokens[index]
            if token.is_word(*_ENDS_SOURCES) or self._is_set_operator(index):
                return
            if token.is_word("JOIN"):
                is_array = self._is_word(index - 1, "ARRAY")
                is_expected = not is_array
            elif token.text == ",":
                is_expected = not is_array
            elif is_expected:
                yield self._source(index)
                is_expected = False

    def _from_of(self, select: int) -> int | None:
        """The index of a SELECT's FROM, which ClickHouse also accepts before the SELECT."""
        behind = self._from_among(self._behind(select))
        return self._from_among(self._before(select)) if behind is None else behind

    def _from_among(self, places: Iterator[int]) -> int | None:
        for index in places:
            if self._is_set_operator(index):
                break
            if self._is_from(index):
                return index
        return None

    def _behind(self, index: int) -> Iterator[int]:
        """The later tokens directly in the same bracket. Others need no look at all."""
        beside = self.inside[self.around[index]]
        return (beside[at] for at in range(bisect_left(beside, index) + 1, len(beside)))

    def _before(self, index: int) -> Iterator[int]:
        """The earlier tokens directly in the same bracket, the nearest first."""
        beside = self.inside[self.around[index]]
        return (beside[at] for at in range(bisect_left(beside, index) - 1, -1, -1))

    def _is_from(self, index: int) -> bool:
        is_comparison = self._is_word(index - 1, "DISTINCT") and self._is_word(
            index - 2, "IS", "NOT"
        )
        return self.tokens[index].is_word("FROM") and not is_comparison

    def _is_set_operator(self, index: int) -> bool:
        """Whether this joins SELECTs: ``EXCEPT (SELECT …)`` does, ``* EXCEPT (a)`` does not."""
        if not self.tokens[index].is_word(*_SET_OPERATORS):
            return False
        behind = index + 1
        while self._text(behind) == "(":
            behind += 1
        return self._is_word(behind, "SELECT", "WITH", "FROM", "ALL", "DISTINCT")

    def _end_of(self, group: int) -> int:
        return self.closing.get(group, len(self.tokens))

    def _source(self, index: int) -> _FromItem:
        token = self.tokens[index]
        if token.text == "(":
            return _FromItem(self._alias(self.closing.get(index, index) + 1), is_table=False)
        name = token.name
        if self._text(index + 1) == "." and index + 2 < len(self.tokens):
            index += 2
            name = self.tokens[index].name
        if self._text(index + 1) == "(":
            end = self.closing.get(index + 1, index + 1)
            return _FromItem(self._alias(end + 1), is_table=False)
        is_table = token.kind is TokenKind.PARAMETER or (
            name in self.landing and not self._cte(index)
        )
        return _FromItem(self._alias(index + 1) or name, is_table)

    def _alias(self, index: int) -> str:
        index += self._is_word(index, "AS")
        token = self.tokens[index] if index < len(self.tokens) else None
        if token is None or token.kind not in (TokenKind.WORD, TokenKind.QUOTED):
            return ""
        return "" if token.is_word(*_NO_ALIAS) else token.name

    # --- Names of common table expressions, and of the seven --------------------------------------

    def _ctes(self) -> Iterator[tuple[str, int]]:
        """The name of each ``name AS (SELECT …)``, and the index of its opening bracket."""
        for index, token in enumerate(self.tokens):
            if token.text == "(" and self._is_word(index + 1, "SELECT", "WITH", "FROM"):
                before = index - 1
                if self._is_word(before, "MATERIALIZED"):
                    before -= 1
                if self._is_word(before, "AS") and before > 0:
                    yield self.tokens[before - 1].name, index

    def _cte(self, index: int) -> bool:
        """Whether the name at ``index`` means a common table expression, from outside of it."""
        opening = self.ctes.get(self.tokens[index].name)
        return opening is not None and not opening < index < self.closing.get(opening, index)

    def _named_around(self, group: int) -> set[str]:
        """Which of the seven are named around the subquery, which must then keep them."""
        if group < 0:
            return set()
        end = self._end_of(group)
        return {
            name
            for name, places in self.named.items()
            if bisect_left(places, end) - bisect_left(places, group) < len(places)
        }

    def _named_apart_from(self, group: int) -> set[str]:
        """Which of the seven are named outside this bracket."""
        return {
            name for name, places in self.named.items() if self.named_in[name, group] < len(places)
        }
