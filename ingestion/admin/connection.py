from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from ingestion import hosts
from ingestion.admin import trying
from ingestion.admin.removing import ARCHIVE, RemovableAdmin
from ingestion.models import Connection, Source
from tenants.admin import display
from tenants.admin.base import Button, WholeForm
from tenants.admin.scope import is_operator

#: Fields that are never shown.
SECRETS = ("password", "client_key")
_BROKER = ("tenant", "name", "kind", "addresses")
_LOGIN = ("sasl_mechanism", "username", "password", "token_url", "token_scope")
_TLS = ("tls", "ca_certificate", "client_certificate", "client_key")
_TEST = "ingestion_connection_test"
_KEPT = "Encrypted at rest and never shown again. Leave this empty to keep the stored value."
_PEM = "-----BEGIN CERTIFICATE-----"
_MONO = "font-mono text-xs"


class ConnectionForm(WholeForm):
    """Never shows secrets: a field left empty keeps the stored value."""

    password = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=f"With OAUTHBEARER, the client secret. {_KEPT}",
    )
    forget_password = forms.BooleanField(
        required=False,
        label="Forget the password",
        help_text="Delete the stored password, for a broker that needs none.",
    )
    client_key = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"autocomplete": "off", "spellcheck": "false", "rows": 3, "class": _MONO}
        ),
        help_text=f"The client certificate's key (PEM). {_KEPT}",
    )
    forget_client_key = forms.BooleanField(
        required=False,
        label="Forget the client key",
        help_text="Delete the stored key. Clear the client certificate too.",
    )

    class Meta:
        model = Connection
        fields = (*_BROKER, *_LOGIN, *_TLS, "options")
        widgets = {
            name: UnfoldAdminTextareaWidget(
                attrs={"spellcheck": "false", "rows": 3, "class": _MONO, "placeholder": _PEM}
            )
            for name in ("ca_certificate", "client_certificate")
        } | {"options": UnfoldAdminTextareaWidget(attrs={"rows": 3, "class": _MONO})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored = {name: getattr(self.instance, name) for name in SECRETS}
        for name, stored in self._stored.items():
            if name in self.fields:
                self.initial[name] = ""
            if not stored:
                self.fields.pop(f"forget_{name}", None)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name, stored in self._stored.items():
            if cleaned.get(f"forget_{name}"):
                cleaned[name] = ""
            elif name in cleaned:
                cleaned[name] = cleaned[name] or stored
        return cleaned


@admin.register(Connection)
class ConnectionAdmin(RemovableAdmin):
    intro = (
        "How to reach a broker. A connection belongs to one tenant, or, without a tenant, to all "
        "of them. Sources read its topics and queues."
    )
    form = ConnectionForm
    fixed_fields = ("tenant", "kind")
    buttons = (Button("test", "Test connection", "network_check", page=_TEST), ARCHIVE)
    list_display = ("name", "kind", "owner", "addresses", "security", "login", "source_count")
    list_filter: ClassVar[Any] = ("kind", "tenant")
    list_select_related = ("tenant",)
    label = ("tenant__slug", "name")
    search_fields = ("name", "addresses", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant",)
    conditional_fields: ClassVar[Any] = dict.fromkeys(
        ("token_url", "token_scope"), "sasl_mechanism == 'OAUTHBEARER'"
    )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and not is_operator(request.user):
            field.help_text = ""  # It explains sharing, which only the operator may do.
        return field

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            (None, {"fields": _BROKER}),
            ("Login", {"fields": self._visible(request, obj, _LOGIN)}),
            ("TLS", {"fields": self._visible(request, obj, _TLS)}),
            ("Further settings", {"fields": ("options",)}),
        )

    def _visible(self, request: HttpRequest, obj: Any, names: tuple[str, ...]) -> list[str]:
        """Leave secrets out for users with read-only access: Django would show them the value."""
        may_write = self.has_change_permission(request, obj) if obj else True
        visible = []
        for name in names:
            if name not in SECRETS:
                visible.append(name)
            elif may_write:
                stored = obj is not None and getattr(obj, name)
                visible += [name, f"forget_{name}"] if stored else [name]
        return visible

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        places = hosts.brokers(obj.addresses, obj.kind)
        if unknown := [str(place) for place in places if not hosts.known(place)]:
            problem = f"This machine can't resolve the host name in {', '.join(unknown)}."
            advice = "Correct it, or test the connection once the name exists."
            messages.warning(request, f"{problem} {advice}")

    # --- Testing it -----------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.test_view)
        return [path("<path:object_id>/test/", view, name=_TEST), *super().get_urls()]

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the test page; a POST runs the test and shows its findings."""
        connection = self.get_object(request, unquote(object_id))
        if connection is None:
            raise Http404
        if not self.has_act_permission(request, connection):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": f"Test {connection}",
            "connection": connection,
            "page": self.page_of(connection),
            **trying.context(connection, request),
        }
        return TemplateResponse(request, "millrace/test_connection.html", context)

    # --- The list -------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(source_total=Count("sources"))
            .order_by("tenant", "name")
        )
        return rows

    @admin.display(description="Tenant", ordering="tenant")
    def owner(self, connection: Connection) -> Any:
        return display.link(connection.tenant) if connection.tenant else "shared"

    @admin.display(description="TLS", boolean=True)
    def security(self, connection: Connection) -> bool:
        return connection.uses_tls

    @admin.display(description="User")
    def login(self, connection: Connection) -> SafeString:
        return display.code(connection.username)

    @admin.display(description="Sources", ordering="source_total")
    def source_count(self, connection: Any) -> SafeString:
        return display.listing(Source, connection.source_total, connection__id__exact=connection.pk)
