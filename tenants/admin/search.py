"""The admin's search over everything: what is found is what the lists would find.

In place of Unfold's, which keeps results for five minutes, also of who has lost a role since, and
says nothing where nothing is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

#: Objects of one kind that are shown; of more the list is offered.
SHOWN = 8
LONGEST = 200


@dataclass(frozen=True, slots=True)
class SearchResult:
    title: str
    description: str
    link: str
    icon: str


def search(request: HttpRequest) -> HttpResponse:
    """Pages and objects that match ``s``, for the panel that Ctrl+K opens."""
    term = request.GET.get("s", "").strip()[:LONGEST]
    results = [*_pages(request, term), *_objects(request, term)] if term else []
    context = {"term": term, "results": results}
    return TemplateResponse(request, "millrace/search_results.html", context)


def _admins(request: HttpRequest) -> Iterator[Any]:
    ordered = sorted(admin.site._registry.items(), key=lambda one: one[0]._meta.label)  # noqa: SLF001
    for _, model_admin in ordered:
        if model_admin.has_view_permission(request):
            yield model_admin


def _list_of(model_admin: Any) -> str:
    meta = model_admin.opts
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")


def _pages(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    for model_admin in _admins(request):
        name = str(model_admin.opts.verbose_name_plural).capitalize()
        if term.lower() in name.lower():
            yield SearchResult(name, "List", _list_of(model_admin), "list")


def _objects(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    for model_admin in _admins(request):
        if not getattr(model_admin, "is_searched", False):
            continue
        meta = model_admin.opts
        rows = model_admin.get_queryset(request)
        found, has_doubles = model_admin.get_search_results(request, rows, term)
        kind = str(meta.verbose_name).capitalize()
        rows = list((found.distinct() if has_doubles else found)[: SHOWN + 1])
        for row in rows[:SHOWN]:
            link = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
            yield SearchResult(str(row), kind, link, "data_object")
        if len(rows) > SHOWN:
            link = f"{_list_of(model_admin)}?{urlencode({'q': term})}"
            yield SearchResult(f"All {meta.verbose_name_plural} that match", kind, link, "list")
