"""The base classes of all admin pages of Millrace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import F, Model, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Concat
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from tenants import roles
from tenants.admin.audited import Audited
from tenants.admin.scope import is_operator, visible
from tenants.admin.typed import ModelAdmin
from tenants.models import Tenant

#: jQuery, which the pickers' own scripts load, must come before our script.
_PICKERS = ("admin/js/jquery.init.js", "millrace/pickers.js")


class ActRefused(Exception):
    """A button's action is not possible for this object. The text says why; nothing changed."""


@dataclass(frozen=True)
class Question:
    """The confirmation page of a button.

    ``says``: what will happen. ``code``: a text to show, such as SQL. ``refused``: why it is not
    possible; the page then has no button to confirm.
    """

    says: tuple[str, ...]
    code: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Button:
    """A button on an object's page. It is a form of its own, so only a POST has an effect.

    ``run`` gets the object and returns a message for the operator, or raises ActRefused. ``shown``
    says whether the button makes sense in the object's state. With ``ask``, a confirmation page
    comes first. ``page`` names an admin page that receives the form instead of ``run``.
    """

    name: str
    label: str
    icon: str
    run: Callable[[Any], str] = lambda _: ""
    shown: Callable[[Any], bool] = lambda _: True
    ask: Callable[[Any], Question] | None = None
    danger: bool = False
    page: str = ""


class WholeForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form that also checks unique constraints with fields that are not in the form.

    Django skips a constraint if one of its fields is not in the form. Postgres would then refuse
    the row, and the user would see a server error.
    """

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        if self.instance.pk is None:
            return excluded
        return excluded - {
            name
            for constraint in self.instance._meta.total_unique_constraints
            for name in constraint.fields
            if name not in self.fields
        }


class Admin(Audited, ModelAdmin):
    """The admin pages of one model.

    ``fixed_fields`` can be set only when an object is created. ``keep_reason`` says why objects
    can't be deleted here and what to do instead; if it is empty, Django's permissions decide.
    """

    form = WholeForm
    fixed_fields: ClassVar[tuple[str, ...]] = ()
    keep_reason: ClassVar[str] = ""
    intro: ClassVar[str] = ""
    #: Look-ups of the tenant's slug and of the object's name, which form its label: shop.orders.
    label: ClassVar[tuple[str, str] | None] = None
    #: Whether the admin's global search includes this model.
    is_searched: ClassVar[bool] = True
    buttons: ClassVar[tuple[Button, ...]] = ()

    list_per_page = 50
    warn_unsaved_form = True
    list_filter_submit = False
    list_before_template = "millrace/list_intro.html"
    change_form_outer_before_template = "millrace/object_head.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return visible(super().get_queryset(request), request.user, self.tenant_path)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if obj is None else (*self.fixed_fields, *fields)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.keep_reason and self._may(request, "delete", obj)

    # --- Who may do it --------------------------------------------------------------------------

    def _may(self, request: HttpRequest, verb: str, obj: Any = None) -> bool:
        """Operators may do everything; other users, what their role in the tenant allows."""
        user = request.user
        if is_operator(user):
            return True
        return roles.may(user, self.model, verb, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change", obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Members can create objects only in tenants where their role allows it."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and db_field.name == "tenant" and not is_operator(request.user):
            allowed = roles.tenants_where(request.user, self.model, "add")
            field.queryset = Tenant.objects.filter(pk__in=allowed)
            field.required = True
        return field

    # --- Finding ------------------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Also search labels; a form's picker finds only objects of the form's tenant."""
        if self.label is not None:
            slug, name = (Coalesce(F(way), Value(none)) for way, none in _ways(self.label))
            queryset = queryset.annotate(_label=Concat(slug, Value("."), name))
        return super().get_search_results(request, self._of_chosen(request, queryset), search_term)

    def get_search_fields(self, request: HttpRequest) -> Any:
        fields = super().get_search_fields(request)
        return (*fields, "_label") if self.label is not None else fields

    def _of_chosen(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        match = request.resolver_match
        chosen = request.GET.get("tenant", "")
        is_picker = match is not None and match.url_name == "autocomplete"
        if not is_picker or self.tenant_path in {"", "pk"} or not _is_number(chosen):
            return rows
        own = Q(**{self.tenant_path: int(chosen)})
        shared = Q(**{f"{self.tenant_path}__isnull": True})
        return rows.filter(own | shared)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Add the tenant to pickers where it is fixed: pickers.js can't read it from the form."""
        form = super().get_form(request, obj, change, **kwargs)
        tenant = self.tenant_of(obj) if obj is not None else None
        for name in self.autocomplete_fields:
            if tenant is not None and name in form.base_fields:
                form.base_fields[name].widget.attrs["data-tenant"] = tenant.pk
        return form

    @property
    def media(self) -> forms.Media:
        own = forms.Media(js=_PICKERS) if self.autocomplete_fields else forms.Media()
        return super().media + own

    # --- Buttons --------------------------------------------------------------------------------

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may use the buttons. By default, those who may change the object may."""
        return self._may(request, "change", obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        route = path("<path:object_id>/do/<slug:name>/", view, name=self._act_name())
        return [route, *super().get_urls()]

    def _act_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_act"

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Run a button's function, then redirect to the object's page."""
        named = (button for button in self.buttons if button.name == name and not button.page)
        button = next(named, None)
        if request.method != "POST" and (button is None or button.ask is None):
            return HttpResponseNotAllowed(["POST"])
        if not self.has_act_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None or button is None:
            raise Http404
        if not self.has_act_permission(request, obj):
            raise PermissionDenied
        if button.ask is not None and "confirmed" not in request.POST:
            return self._asked(request, obj, button, button.ask(obj))
        try:
            messages.success(request, self.act(request, obj, button))
        except ActRefused as error:
            messages.error(request, str(error))
        else:
            self.log_act(request, obj, button.name, button.label)
        return redirect(self.page_of(obj))

    def act(self, request: HttpRequest, obj: Any, button: Button) -> str:
        """Run the button's function. Returns a message for the user; raises ActRefused."""
        return button.run(obj)

    def _asked(
        self, request: HttpRequest, obj: Any, button: Button, question: Question
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": f"{button.label}: {obj}",
            "object": obj,
            "button": button,
            "question": question,
            "page": self.page_of(obj),
        }
        return TemplateResponse(request, "millrace/ask.html", context)

    def _button_address(self, button: Button, obj: Model) -> str:
        if button.page:
            return reverse(f"admin:{button.page}", args=[obj.pk])
        return reverse(f"admin:{self._act_name()}", args=[obj.pk, button.name])

    def page_of(self, obj: Model) -> str:
        """The URL of the object's page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        extra = dict(extra_context or {}) | {"keep_reason": self.keep_reason}
        extra["intro"] = self.intro
        obj = self.get_object(request, unquote(object_id)) if object_id else None
        if obj is not None and request.method == "GET":
            extra |= self.head(request, obj)
            if self.has_act_permission(request, obj):
                extra["buttons"] = [
                    (button, self._button_address(button, obj))
                    for button in self.buttons
                    if button.shown(obj)
                ]
        return super().changeform_view(request, object_id, form_url, extra)

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Extra context for ``millrace/object_head.html``: facts, trouble, notices, charts."""
        return {}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, {"intro": self.intro, **(extra_context or {})})


def _ways(label: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    """Each look-up, with the text that stands for an empty value."""
    return (label[0], "shared"), (label[1], "")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


class ReadOnlyAdmin(Admin):
    """Pages of objects that only Millrace itself creates and changes."""

    is_searched = False
    warn_unsaved_form = False

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
