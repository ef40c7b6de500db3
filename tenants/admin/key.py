from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from tenants import exact_json, rights
from tenants.admin import curl, display
from tenants.admin.base import Admin, Button, WholeForm
from tenants.models import DEFAULT_SCOPES, APIKey, Scope, Tenant
from tenants.models.key import MAX_TOKEN_SECONDS, TOKEN_SECONDS
from tenants.rights import Rights, RightsRefused
from tenants.services import keys
from tenants.tokens.signing import read_public_key

_ONE_A_LINE = "Enter one a line, or separate them by commas. Empty: no restriction."
_RIGHTS = ("queries", "sources", "parameters", "row_filters", "networks", "origins")


class NamesField(forms.CharField):
    """A list of names, one a line; None if it is empty."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})
        super().__init__(**{"required": False, "widget": widget} | kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        return [name for name in re.split(r"[\s,]+", text) if name] or None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or None))


class KeyForm(WholeForm):
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=list(DEFAULT_SCOPES),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What the key may do.",
    )
    queries = NamesField(
        help_text="The saved queries that the key may use. All others answer as if they did not "
        f"exist. {_ONE_A_LINE}"
    )
    sources = NamesField(
        help_text=f"The sources that the key may send events to and manage. {_ONE_A_LINE}"
    )
    networks = NamesField(
        help_text="The IP addresses or networks that may use the key, such as 203.0.113.0/24. "
        f"{_ONE_A_LINE}"
    )
    origins = NamesField(
        help_text="The web origins that may use the key, such as https://shop.example.com. "
        f"{_ONE_A_LINE}"
    )
    signing = forms.ChoiceField(
        choices=[
            ("", "None"),
            ("HS256", "A secret, shown once with the key (HS256)"),
            ("EdDSA", "Your own key pair: enter its public key below (EdDSA)"),
        ],
        required=False,
        widget=UnfoldAdminSelectWidget,
        label="Signed by",
        help_text="What signs this key's tokens. A token lets a browser run queries with at most "
        "the rights of the key.",
    )

    token_seconds = forms.IntegerField(
        min_value=1,
        max_value=MAX_TOKEN_SECONDS,
        required=False,
        initial=TOKEN_SECONDS,
        widget=UnfoldAdminIntegerFieldWidget,
        label="Longest life of a token",
        help_text="In seconds. Tokens that last longer are refused.",
    )

    class Meta:
        model = APIKey
        fields = (
            *("tenant", "name", "scopes", "expires_at", *_RIGHTS),
            *("signing", "public_key", "token_seconds"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fixed: Any = self.fields.get("parameters")
        if fixed is not None:
            fixed.decoder = exact_json.Decoder

    def clean_token_seconds(self) -> int:
        return self.cleaned_data["token_seconds"] or TOKEN_SECONDS

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        tenant = self.instance.tenant if self.instance.pk else data.get("tenant")
        self._clean_signing(data)
        if tenant is None:
            return data
        own = self._own()
        for name in (*_RIGHTS, "scopes", "expires_at"):
            if name in data:
                self._clean_right(name, replace(own, **{name: self._value(data, name)}), tenant)
        if not self.errors:
            self.rights = rights.checked(self._requested(data), tenant)
        return data

    def _clean_right(self, name: str, requested: Rights, tenant: Tenant) -> None:
        """Check one right by itself, so that the form shows all errors at once."""
        try:
            rights.checked(requested, tenant)
        except RightsRefused as error:
            field = error.field if error.field in self.fields else None
            if error.field == name:
                self.add_error(field, error.message)

    def _own(self) -> Rights:
        return rights.of(self.instance) if self.instance.pk else Rights()

    @staticmethod
    def _value(data: dict[str, Any], name: str) -> Any:
        value = data[name]
        if name in {"parameters", "row_filters"}:
            return value or {}
        return tuple(value) if isinstance(value, list) else value

    def _requested(self, data: dict[str, Any]) -> Rights:
        names = [name for name in (*_RIGHTS, "scopes", "expires_at") if name in data]
        return replace(self._own(), **{name: self._value(data, name) for name in names})

    def _clean_signing(self, data: dict[str, Any]) -> None:
        public = data.get("public_key", "")
        if "signing" not in self.fields:
            return
        if (data.get("signing") == "EdDSA") != bool(public):
            missing, unused = "Enter the public key here.", "Choose EdDSA above to use this key."
            self.add_error("public_key", unused if public else missing)
        elif public:
            try:
                read_public_key(public)
            except RightsRefused as error:
                self.add_error("public_key", error.message)


class ChangeKeyForm(KeyForm):
    """Changes what can be changed of a key: its name, its restrictions and its tokens' life."""

    scopes = None  # type: ignore[assignment]
    signing = None  # type: ignore[assignment]

    class Meta:
        model = APIKey
        fields = ("name", *_RIGHTS, "token_seconds")


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(
        coerce=int,
        choices=[
            (0, "At once"),
            (3600, "In an hour"),
            (86_400, "In a day"),
            (7 * 86_400, "In a week"),
            (30 * 86_400, "In 30 days"),
        ],
        initial=86_400,
        label="The old key ends",
        widget=UnfoldAdminSelectWidget,
    )


def _can_rotate(key: APIKey) -> bool:
    return key.is_usable(timezone.now()) and key.replaced_by_id is None


def _person(request: HttpRequest) -> User | None:
    return request.user if request.user.is_authenticated else None


def _revoke(key: APIKey) -> str:
    keys.revoke_key(key)
    return f"{key} was revoked. It is refused from now on."


@admin.register(APIKey)
class APIKeyAdmin(Admin):
    intro = (
        "Programs call the API with a key. Its text is shown once, when you create it; Millrace "
        "stores only its SHA-256. Keys are revoked, never deleted, so that logs stay readable."
    )
    keep_reason = (
        "Keys can't be deleted, so that the prefixes in logs stay readable. Revoke the key instead."
    )
    form = KeyForm
    fixed_fields = ("tenant", "scopes_text", "expires_at", "signed_by")
    buttons = (
        Button("rotate", "Rotate", "autorenew", page="tenants_apikey_rotate", shown=_can_rotate),
        Button(
            "revoke", "Revoke", "block", _revoke, lambda key: key.revoked_at is None, danger=True
        ),
    )
    list_display = ("name", "key_prefix", "tenant", "state_badge", "scopes_text", "used", "created")
    list_filter: ClassVar[Any] = ("tenant", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("tenant",)
    search_fields = ("prefix", "name", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant",)
    actions = ("revoke",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        new = obj is None
        signing = ("signing", "public_key", "token_seconds") if new else ("signed_by",)
        scopes = "scopes" if new else "scopes_text"
        return (
            (None, {"fields": ("tenant", "name", scopes, "expires_at")}),
            ("Restricted to", {"fields": ("queries", "sources", "parameters", "row_filters")}),
            ("Used from", {"fields": ("networks", "origins")}),
            ("Signed tokens", {"fields": signing if new else (*signing, "token_seconds")}),
        )

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:
            kwargs["form"] = ChangeKeyForm
            kwargs["fields"] = ChangeKeyForm.Meta.fields
        else:
            kwargs["fields"] = KeyForm.Meta.fields
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name", "token_seconds"])
            keys.change_key(obj, form.rights)
            return
        row, form.plaintext, form.secret = keys.create_signing_key(
            obj.tenant,
            obj.name,
            rights=form.rights,
            by_secret=form.cleaned_data["signing"] == "HS256",
            public_key=form.cleaned_data["public_key"],
            token_seconds=obj.token_seconds,
            created_by=_person(request),
        )
        obj.__dict__.update(row.__dict__)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        # response_add() gets the request but not the form; the texts live no longer than both.
        request.new_key_texts = (  # type: ignore[attr-defined]
            getattr(form, "plaintext", None),
            getattr(form, "secret", ""),
        )
        return super().construct_change_message(request, form, formsets, add)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: Any = None
    ) -> HttpResponse:
        return self._shown_once(request, obj, *request.new_key_texts)  # type: ignore[attr-defined]

    def _shown_once(
        self, request: HttpRequest, key: APIKey, text: str, secret: str
    ) -> HttpResponse:
        """Show the key's text in this response: a Django message would be stored in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{key.name}: copy the key now",
            "key": key,
            "plaintext": text,
            "secret": secret,
            "curl": curl.line(key, text, request.build_absolute_uri("/api/v1/")),
        }
        response = TemplateResponse(request, "millrace/key_created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    # --- Rotation -------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.rotate_view)
        route = path("<path:object_id>/rotate/", view, name="tenants_apikey_rotate")
        return [route, *super().get_urls()]

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the overlap, then show the successor once."""
        key = self.get_object(request, unquote(object_id))
        if key is None:
            raise Http404
        if not self.has_change_permission(request, key):
            raise PermissionDenied
        form = RotateForm(request.POST if "overlap" in request.POST else None)
        if form.is_valid():
            try:
                overlap = timedelta(seconds=form.cleaned_data["overlap"])
                rotated = keys.rotate_key(key, overlap=overlap, created_by=_person(request))
            except keys.KeyStateRefused as error:
                form.add_error(None, str(error))
            else:
                self.log_act(request, key, "rotate", f"Rotated: followed by {rotated.key}")
                return self._shown_once(
                    request, rotated.key, rotated.plaintext, rotated.signing_secret
                )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Rotate {key.name}",
            "key": key,
            "form": form,
        }
        return TemplateResponse(request, "millrace/key_rotate.html", context)

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "facts": [
                ("Key", display.code(f"mr_{obj.prefix}_…")),
                ("State", self.state_badge(obj)),
                ("Last used", display.ago(obj.last_used_at)),
                ("Created", display.ago(obj.created_at)),
                ("Created by", str(obj.created_by or "command line")),
                *([("Successor", display.link(obj.replaced_by))] if obj.replaced_by else []),
            ]
        }

    @admin.display(description="Signed by")
    def signed_by(self, key: APIKey) -> str:
        return {
            "": "Nothing; this key signs no tokens.",
            "HS256": "Its secret (HS256). Rotate the key to get a new one.",
            "EdDSA": "The private key that matches the stored public key (EdDSA).",
        }[key.algorithm]

    @admin.display(description="Key", ordering="prefix")
    def key_prefix(self, key: APIKey) -> SafeString:
        return display.code(f"mr_{key.prefix}_…")

    @admin.display(description="State")
    def state_badge(self, key: APIKey) -> SafeString:
        if key.revoked_at is not None:
            return display.badge("revoked", "Revoked", f"{key.revoked_at:%Y-%m-%d %H:%M:%S} UTC")
        return display.badge(
            *(("active", "Active") if key.is_usable(timezone.now()) else ("expired", "Expired"))
        )

    @admin.display(description="Scopes")
    def scopes_text(self, key: APIKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, key: APIKey) -> SafeString:
        return display.ago(key.last_used_at)

    @admin.display(description="Created", ordering="created_at")
    def created(self, key: APIKey) -> SafeString:
        return display.ago(key.created_at)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        for key in queryset:
            keys.revoke_key(key)
        messages.success(request, f"{display.were(len(queryset), 'key')} revoked.")
