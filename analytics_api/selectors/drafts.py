"""A query as its author last wrote it, beside the version that answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics_api.guard import QueryRefused, text_of
from analytics_api.models import SavedQuery, SavedQueryVersion


def has_draft(query: SavedQuery) -> bool:
    """Whether the query says something else than the version that answers; without one it does."""
    version = query.published
    if version is None:
        return True
    said = (_bare(query.sql), _said(query.parameters))
    return said != (_bare(written(version)), described(version))


def _bare(sql: str) -> str:
    """Without comments, which change nothing, where the text can be read at all."""
    try:
        return text_of(sql)
    except QueryRefused:
        return sql.strip()


def written(version: SavedQueryVersion) -> str:
    """A version's SQL as its author wrote it."""
    return version.text or version.sql


def described(version: SavedQueryVersion) -> dict[str, Any]:
    """What its author has said of parameters, as a draft has it: by name, without their types."""
    own = ("name", "type")
    return _said(
        {
            one["name"]: {key: value for key, value in one.items() if key not in own}
            for one in version.parameters
        }
    )


def _said(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what says nothing."""
    found = {
        name: {key: one for key, one in said.items() if (key, one) != ("description", "")}
        if isinstance(said, Mapping)
        else said
        for name, said in parameters.items()
    }
    return {name: said for name, said in found.items() if said}
