"""Compares a query's draft, as its author last saved it, with the published version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics_api.guard import QueryRefused, text_of
from analytics_api.models import SavedQuery, SavedQueryVersion


def has_draft(query: SavedQuery) -> bool:
    """Whether the draft differs from the published version; True for an unpublished query."""
    version = query.published
    if version is None:
        return True
    said = (_bare(query.sql), _said(query.parameters))
    return said != (_bare(written(version)), described(version))


def _bare(sql: str) -> str:
    """``sql`` without comments, which change nothing, if the lexer can read it."""
    try:
        return text_of(sql)
    except QueryRefused:
        return sql.strip()


def written(version: SavedQueryVersion) -> str:
    """A version's SQL as its author wrote it."""
    return version.text or version.sql


def described(version: SavedQueryVersion) -> dict[str, Any]:
    """The version's parameter descriptions as a draft has them: by name, without types."""
    own = ("name", "type")
    return _said(
        {
            stored["name"]: {key: value for key, value in stored.items() if key not in own}
            for stored in version.parameters
        }
    )


def _said(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The descriptions without empty ones."""
    without_blanks = {
        name: {key: value for key, value in said.items() if (key, value) != ("description", "")}
        if isinstance(said, Mapping)
        else said
        for name, said in parameters.items()
    }
    return {name: said for name, said in without_blanks.items() if said}
