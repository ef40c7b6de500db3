"""The addresses of all pages, as the URL resolver knows them: a new page is walked by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.urls import NoReverseMatch, get_resolver, reverse
from django.urls.resolvers import URLPattern, URLResolver

from tenants.models import Tenant
from walking.cast import CANARY, rows_of

#: What is typed into searches; pages repeat it, so it is not the whole canary.
TERM = CANARY[:-1]
#: Logging out would end the walk.
_LEFT_OUT = {"logout", "view_on_site"}
#: What the pattern of an object's page calls the object.
_IDS = {"object_id", "id"}
MISSING = 987_654_321


@dataclass(frozen=True)
class Page:
    """``model`` and ``pk``: of which object it is, where it is of one."""

    name: str
    address: str
    model: type[Model] | None = None
    pk: Any = None


def models() -> list[type[Model]]:
    return sorted(admin.site._registry, key=lambda one: one._meta.label)


def of_tenant(tenant: Tenant) -> list[Page]:
    """Every page of every object of the tenant's, up to three of each model."""
    found = []
    for pattern in _patterns():
        if _parameters(pattern) & _IDS and pattern.name not in _LEFT_OUT:
            model = _model_of(pattern)
            for row in rows_of(tenant, model)[:3] if model is not Group else []:
                found += list(_object_pages(pattern, model, row.pk))
    return found + [
        Page("view_on_site", _reverse("view_on_site", [kind.pk, row.pk]))
        for model in models()
        if model is not Group
        for kind in [ContentType.objects.get_for_model(model)]
        for row in rows_of(tenant, model)[:1]
    ]


def missing(pages: Iterable[Page]) -> Iterator[tuple[Page, Page]]:
    """With each page of an object the same one of an object that does not exist."""
    for one in pages:
        if one.model is not None:
            address = one.address.replace(f"/{one.pk}/", f"/{MISSING}/", 1)
            yield one, Page(one.name, address, one.model, MISSING)


def general(tenant: Tenant) -> list[Page]:
    """Lists, searched, filtered by ``tenant``, and sorted; forms; autocompletes; all the rest."""
    found = []
    for pattern in _patterns():
        names = _parameters(pattern)
        if names & _IDS or pattern.name in _LEFT_OUT:
            continue
        if names == {"app_label"}:
            apps = sorted({one._meta.app_label for one in models()})
            found += [Page("app_list", _reverse("app_list", [one])) for one in apps]
        elif names == {"url"}:
            found.append(Page("catch_all", reverse("admin:index") + f"{TERM}/nowhere/"))
        elif not names:
            found.append(Page(pattern.name or "?", _reverse(pattern.name)))
        else:
            msg = f"The admin's page {pattern} takes {names}: say in walking/pages.py what to give."
            raise AssertionError(msg)
    return [*found, *_queried(tenant), *_autocompletes()]


def _queried(tenant: Tenant) -> Iterator[Page]:
    for model in models():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        address = _reverse(f"{name}_changelist")
        model_admin = admin.site._registry[model]
        yield Page(f"{name} searched", f"{address}?q={TERM}")
        yield Page(f"{name} all", f"{address}?all=")
        path = getattr(model_admin, "tenant_path", "")
        for one in {path, "tenant", "source__tenant", "table__tenant"} - {"", "pk"}:
            yield Page(f"{name} filtered", f"{address}?{one}__id__exact={tenant.pk}")
        for column in range(1, len(model_admin.list_display) + 1):
            yield Page(f"{name} sorted", f"{address}?o={column}")
    yield Page("site search", f"{_reverse('search')}?s={TERM}&extended=1")
    yield Page("audit export", f"{_reverse('tenants_auditentry_export')}?q={TERM}")


def _autocompletes() -> Iterator[Page]:
    for model in models():
        for model_admin in (admin.site._registry[model], *admin.site._registry[model].inlines):
            source = getattr(model_admin, "model", model)
            for field in model_admin.autocomplete_fields:
                for term in ("", TERM):
                    asked = {
                        "app_label": source._meta.app_label,
                        "model_name": source._meta.model_name,
                        "field_name": field,
                        "term": term,
                    }
                    address = f"{_reverse('autocomplete')}?{urlencode(asked)}"
                    yield Page(f"autocomplete {source.__name__}.{field}", address)


def _object_pages(pattern: URLPattern, model: type[Model], pk: Any) -> Iterator[Page]:
    names = _parameters(pattern)
    buttons = getattr(admin.site._registry[model], "buttons", ())
    for button in [one.name for one in buttons] if "name" in names else [None]:
        arguments = dict.fromkeys(names & _IDS, pk) | ({"name": button} if button else {})
        if names != set(arguments):
            if "name" in names:
                continue
            msg = f"The admin's page {pattern} takes {names}: say in walking/pages.py what to give."
            raise AssertionError(msg)
        address = _reverse(pattern.name, kwargs=arguments)
        yield Page(f"{pattern.name} {button or ''}".strip(), address, model, pk)


def _patterns() -> list[URLPattern]:
    """Those with a name; the others lead from an older form of an address to the present one."""
    resolver = next(
        one
        for one in get_resolver().url_patterns
        if isinstance(one, URLResolver) and one.app_name == "admin"
    )
    return [one for one in _flat(resolver.url_patterns) if one.name]


def _flat(patterns: list[Any]) -> Iterator[URLPattern]:
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from _flat(one.url_patterns)
        else:
            yield one


def _parameters(pattern: URLPattern) -> set[str]:
    route: Any = pattern.pattern
    return set(route.converters) | set(route.regex.groupindex)


def _model_of(pattern: URLPattern) -> type[Model]:
    for model in models():
        if pattern.name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            return model
    if pattern.name == "auth_user_password_change":
        return next(one for one in models() if one._meta.label == "auth.User")
    msg = f"Of which model is the admin's page {pattern.name}? Name it app_model_page."
    raise AssertionError(msg)


def _reverse(name: str, args: Any = None, kwargs: Any = None) -> str:
    try:
        return reverse(f"admin:{name}", args=args, kwargs=kwargs)
    except NoReverseMatch as error:
        msg = f"The admin's page {name} can't be reached: {error}"
        raise AssertionError(msg) from error
