"""Formats states, numbers and times for admin pages, and escapes all text."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tenants.models import ProvisionState

DASH = format_html('<span class="text-base-400">{}</span>', "–")

_KINDS = {
    "active": "success",
    "done": "success",
    "failed": "danger",
    "failing": "danger",
    "intent": "info",
    "pending": "info",
    "published": "success",
    "ready": "success",
    "revoked": "danger",
    "expired": "warning",
    "running": "success",
    "settled": "success",
    "suspended": "warning",
    "waiting": "warning",
    "warning": "warning",
}
_ICONS = {
    "archived": "archive",
    "failed": "error",
    "failing": "error",
    "paused": "pause_circle",
    "pending": "hourglass_top",
    "ready": "check_circle",
    "running": "play_circle",
    "waiting": "hourglass_empty",
}


def badge(state: str, text: str = "", title: str = "") -> SafeString:
    """A state in its colour, with an icon, so that it never depends on colour alone."""
    word = str(state)
    return SafeString(
        render_to_string(
            "unfold/helpers/label.html",
            {
                "text": text or word,
                "type": _KINDS.get(word, ""),
                "icon": _ICONS.get(word, ""),
                "label_title": title,
            },
        )
    )


def provision_badge(state: str, error: str = "") -> SafeString:
    return badge(state, ProvisionState(state).label, error)


def number(value: int | None, *, alarm: bool = False) -> SafeString:
    """12,345 in tabular figures; ``alarm`` highlights anything above 0."""
    if value is None:
        return DASH
    style = "text-red-700 dark:text-red-400 font-semibold" if alarm and value else ""
    return format_html('<span class="tabular-nums {}">{}</span>', style, f"{value:,}")


def figures(text: str, title: str = "") -> SafeString:
    """Tabular figures that don't wrap; ``title`` is the tooltip."""
    return format_html(
        '<span class="tabular-nums whitespace-nowrap" title="{}">{}</span>', title, text
    )


def were(count: int, noun: str) -> str:
    """``1 source was`` or ``2 sources were``, to continue with what happened to them."""
    return f"{count} {noun} was" if count == 1 else f"{count:,} {noun}s were"


def size(count: int) -> str:
    """Bytes in a suitable unit: 12 B, 3.4 MiB."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def duration(seconds: float) -> str:
    """An age in one unit: 0.4 s, 12 s, 5 min, 3 h, 40 d."""
    if seconds < 1:
        return f"{max(0.0, seconds):.1f} s"
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def ago(moment: datetime | None, empty: str = "never") -> SafeString:
    """``3 s ago``, with the exact time as tooltip."""
    if moment is None:
        return format_html('<span class="text-base-400">{}</span>', empty)
    seconds = (timezone.now() - moment).total_seconds()
    text = f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
    exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time class="whitespace-nowrap" datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        exact,
        text,
    )


def short(text: str, length: int = 80) -> SafeString:
    """The first line of a text, cut to ``length`` characters; the whole text is the tooltip."""
    if not text:
        return DASH
    line = text.strip().splitlines()[0]
    cut = line if len(line) <= length else f"{line[: length - 1]}…"
    return format_html('<span title="{}">{}</span>', text, cut)


def trouble(text: str) -> SafeString:
    """An error, cut to one line for a list."""
    if not text:
        return DASH
    return format_html('<span class="text-red-700 dark:text-red-400">{}</span>', short(text))


def code(text: str) -> SafeString:
    if not text:
        return DASH
    return format_html('<code class="font-mono text-xs">{}</code>', text)


def linked(address: str, text: Any) -> SafeString:
    """A link; the address and the text are escaped."""
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500 hover:underline" href="{}">{}</a>',
        address,
        text,
    )


def link(obj: Model | None, text: str = "") -> SafeString:
    """A link to an object's page in the admin."""
    if obj is None:
        return DASH
    meta = obj._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[obj.pk])
    return linked(address, text or str(obj))


def listing(model: type[Model], text: Any, **filters: Any) -> SafeString:
    """A link to a model's list page, with filters."""
    meta = model._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return linked(f"{address}?{urlencode(filters)}", text)
