from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from tenants import exact_json, rights
from tenants.audit.command import ChangingCommand
from tenants.management.arguments import moment
from tenants.models import DEFAULT_SCOPES, APIKey, Scope, Tenant
from tenants.models.key import TOKEN_SECONDS
from tenants.rights import Rights, RightsRefused
from tenants.services import keys
from tenants.tokens.issue import NotIssued, issue


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(text)
    return name.strip(), value.strip()


def _value(text: str) -> Any:
    try:
        return exact_json.storable(exact_json.read(text))
    except ValueError:
        return text


class Command(ChangingCommand):
    help = "Create, list, rotate and revoke API keys, or print a sample of a signed token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        create = commands.add_parser("create", help="create a key and print it, once")
        create.add_argument("tenant", help="the tenant's slug")
        create.add_argument("--name", default="command line", help="who or what uses the key")
        create.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=list(Scope.values),
            help=f"what the key may do; may be repeated; default: {' and '.join(DEFAULT_SCOPES)}",
        )
        create.add_argument(
            "--expires",
            type=moment,
            metavar="TIME",
            help="when the key expires, such as 2030-01-31 or 2030-01-31T12:00:00+02:00 "
            "(UTC without an offset)",
        )
        for name, description in (
            ("query", "limit the key to this saved query"),
            ("source", "limit the key to this source"),
            ("network", "limit the key to this IP address or network (CIDR)"),
            ("origin", "limit the key to web pages of this origin"),
        ):
            create.add_argument(
                f"--{name}", action="append", help=f"{description}; may be repeated"
            )
        _add_restrictions(create)
        create.add_argument(
            "--signing", action="store_true", help="create a secret that signs tokens (HS256)"
        )
        create.add_argument(
            "--public-key",
            metavar="FILE",
            help="accept tokens signed with this Ed25519 key (EdDSA)",
        )
        create.add_argument(
            "--token-seconds",
            type=int,
            default=TOKEN_SECONDS,
            help="the longest life of its tokens in seconds (default: %(default)s)",
        )
        listing = commands.add_parser("list", help="list the keys of a tenant")
        listing.add_argument("tenant", help="the tenant's slug")
        rotate = commands.add_parser("rotate", help="create a successor and print it, once")
        rotate.add_argument("prefix", help="the ten characters after mr_ in the key")
        rotate.add_argument(
            "--overlap",
            type=int,
            default=int(keys.OVERLAP.total_seconds()),
            metavar="SECONDS",
            help="how long the old key stays valid (default: %(default)s)",
        )
        revoke = commands.add_parser("revoke", help="refuse a key and its tokens from now on")
        revoke.add_argument("prefix", help="the ten characters after mr_ in the key")
        token = commands.add_parser("token", help="print a sample of a signed token (HS256)")
        token.add_argument("prefix", help="the ten characters after mr_ in the key")
        token.add_argument(
            "--query",
            action="append",
            required=True,
            help="a saved query that the token may run; may be repeated",
        )
        _add_restrictions(token)
        token.add_argument("--subject", help="the end user that the token is for")
        token.add_argument("--rate", type=int, help="the most requests a minute")
        token.add_argument(
            "--seconds", type=int, default=3600, help="the token's life (default: %(default)s)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['command']}")(options)
        except (RightsRefused, keys.KeyStateRefused, NotIssued) as error:
            raise CommandError(str(error)) from None

    def _create(self, options: dict[str, Any]) -> None:
        tenant = _tenant(options["tenant"])
        public = options["public_key"]
        requested = Rights(
            tuple(options["scope"]) or Rights().scopes,
            options["expires"],
            queries=_tuple(options["query"]),
            sources=_tuple(options["source"]),
            parameters=_parameters(options),
            row_filters=dict(options["filter"]),
            networks=_tuple(options["network"]),
            origins=_tuple(options["origin"]),
        )
        key, text, secret = keys.create_signing_key(
            tenant,
            options["name"],
            rights=rights.checked(requested, tenant),
            by_secret=options["signing"],
            public_key=Path(public).read_text(encoding="utf-8") if public else "",
            token_seconds=options["token_seconds"],
        )
        self._show(key, text, secret)

    def _show(self, key: APIKey, text: str, secret: str) -> None:
        self.stdout.write(text)
        if secret:
            self.stdout.write(secret)
            self.stderr.write("The second line is the secret that signs the key's tokens (HS256).")
        self.stderr.write(f"Copy it now: it can't be shown again. Its prefix is {key.prefix}.")

    def _list(self, options: dict[str, Any]) -> None:
        for key in APIKey.objects.filter(tenant=_tenant(options["tenant"])):
            state = "revoked" if key.revoked_at else f"expires {key.expires_at or 'never'}"
            used = f"used {key.last_used_at or 'never'}"
            scopes = ",".join(key.scopes)
            self.stdout.write(f"{key.prefix}  {key.name}  {scopes}  {state}  {used}")

    def _rotate(self, options: dict[str, Any]) -> None:
        overlap = timedelta(seconds=options["overlap"])
        rotated = keys.rotate_key(_key(options["prefix"]), overlap=overlap)
        self._show(rotated.key, rotated.plaintext, rotated.signing_secret)

    def _revoke(self, options: dict[str, Any]) -> None:
        key = _key(options["prefix"])
        keys.revoke_key(key)
        self.stdout.write(f"{key} was revoked.")

    def _token(self, options: dict[str, Any]) -> None:
        claims: dict[str, Any] = {"queries": options["query"]}
        if options["parameter"]:
            claims["params"] = _parameters(options)
        if options["filter"]:
            claims["filter"] = dict(options["filter"])
        claims |= {"sub": options["subject"]} if options["subject"] else {}
        claims |= {"rate": options["rate"]} if options["rate"] else {}
        self.stdout.write(issue(_key(options["prefix"]), options["seconds"], claims))


def _add_restrictions(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="a query parameter to fix to this value; may be repeated",
    )
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        type=_pair,
        metavar="TABLE=CONDITION",
        help='a row filter, such as "orders=customer = 7"; * stands for every table that has the '
        "columns; may be repeated",
    )


def _parameters(options: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(text) for name, text in options["parameter"]}


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return tuple(names) if names else None


def _tenant(slug: str) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
        msg = f"There is no tenant {slug!r}. Tenants: {known}."
        raise CommandError(msg)
    return tenant


def _key(prefix: str) -> APIKey:
    plain = prefix.removeprefix("mr_")[:10]
    key = APIKey.across_tenants.select_related("tenant").filter(prefix=plain).first()
    if key is None:
        msg = f"No API key has the prefix {plain!r}. List keys with: manage.py api_key list TENANT."
        raise CommandError(msg)
    return key
