"""Unfold's classes, typed as the Django classes that they extend; Unfold has no types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as _ModelAdmin
    from django.contrib.admin import TabularInline as _TabularInline
    from django.contrib.admin.views.main import ChangeList
    from django.forms import BaseInlineFormSet as _BaseInlineFormSet

    ModelAdmin = _ModelAdmin[Any]
    TabularInline = _TabularInline[Any, Any]
    InlineFormSet = _BaseInlineFormSet[Any, Any, Any]
else:
    from unfold.admin import ModelAdmin, TabularInline
    from unfold.forms import PaginationInlineFormSet as InlineFormSet
    from unfold.views import ChangeList

__all__ = ["ChangeList", "InlineFormSet", "ModelAdmin", "TabularInline"]
