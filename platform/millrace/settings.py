"""Django settings, all read from the environment (12factor.net/config).

Each service is configured by a URL. If a URL is not set, the embedded service of
``millrace.embedded`` is used, and ``manage.py check --deploy`` reports that as an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ
from django.templatetags.static import static
from django.urls import reverse_lazy

from millrace.embedded import service_urls

BASE_DIR = Path(__file__).resolve().parents[2]

env = environ.Env()
_ENV_FILE = Path(env.str("MILLRACE_ENV_FILE", default=str(BASE_DIR / ".env")))
if _ENV_FILE.is_file():
    env.read_env(_ENV_FILE)

# --- Services -----------------------------------------------------------------------------------

_SERVICES = ("DATABASE_URL", "CLICKHOUSE_URL", "CELERY_BROKER_URL", "CACHE_URL")

#: The services whose URL is not set, so that the embedded service is used.
EMBEDDED_SERVICES = tuple(name for name in _SERVICES if not env.str(name, default=""))
#: An installation with any embedded service, or without a SECRET_KEY, belongs to one machine.
_LOCAL = bool(EMBEDDED_SERVICES) or not env.str("SECRET_KEY", default="")
_EMBEDDED: dict[str, str] = service_urls.urls() if _LOCAL else {}


def _url(name: str) -> str:
    return env.str(name, default="") or _EMBEDDED[name]


DATABASES = {
    "default": {
        **environ.Env.db_url_config(_url("DATABASE_URL")),
        "CONN_MAX_AGE": env.int("DATABASE_CONN_MAX_AGE", default=60),
        "CONN_HEALTH_CHECKS": True,
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _url("CACHE_URL"),
        "KEY_PREFIX": env.str("CACHE_KEY_PREFIX", default="millrace"),
    }
}
#: The platform's own access to ClickHouse. It creates databases, users and tables, and inserts.
CLICKHOUSE_URL = _url("CLICKHOUSE_URL")
#: The cluster's name, for ``ON CLUSTER`` and replicated tables; empty for a single server.
CLICKHOUSE_CLUSTER = env.str("CLICKHOUSE_CLUSTER", default="")

# --- Security -----------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or _EMBEDDED["SECRET_KEY"]
#: Fernet keys, newest first: the first encrypts, all decrypt.
MILLRACE_ENCRYPTION_KEYS: list[str] = env.list("MILLRACE_ENCRYPTION_KEYS", default=[]) or (
    [_EMBEDDED["MILLRACE_ENCRYPTION_KEYS"]] if _EMBEDDED else []
)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
#: Set this if a proxy in front speaks TLS; without it, cookies must travel over plain HTTP.
HTTPS = env.bool("HTTPS", default=not _LOCAL)
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
# Browsers accept a cookie with this prefix only from this host, over HTTPS, and for all paths.
_HOST = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME = f"{_HOST}millrace_session"
CSRF_COOKIE_NAME = f"{_HOST}millrace_csrf"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Strict"
#: Seconds without a request after which a user must log in again.
SESSION_COOKIE_AGE = env.int("SESSION_IDLE_SECONDS", default=2 * 3600)
#: Seconds after a session's first request at which its user must log in again, active or not.
SESSION_ABSOLUTE_SECONDS = env.int("SESSION_ABSOLUTE_SECONDS", default=12 * 3600)
SESSION_SAVE_EVERY_REQUEST = True
SESSION_EXPIRE_AT_BROWSER_CLOSE = False
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
#: Networks (CIDR) of the proxies in front, whose ``X-Forwarded-For`` header is trusted.
MILLRACE_TRUSTED_PROXIES: list[str] = env.list("MILLRACE_TRUSTED_PROXIES", default=[])
DEFAULT_EXCEPTION_REPORTER_FILTER = "millrace.security.reports.NoValues"
AUTHENTICATION_BACKENDS = [
    "millrace.security.login.LimitedBackend",
    "tenants.backend.MemberBackend",
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

# --- Django -------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "millrace",
    "tenants",
    "ingestion",
    "analytics_api",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "millrace.security.headers.SecurityHeaders",
    "tenants.rest.cors.CORSMiddleware",
    "tenants.audit.actor.AuditMiddleware",
    "millrace.middleware.PagesBegin",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "millrace.security.session.AbsoluteAge",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tenants.admin.share.AdminShare",
    "tenants.admin.scope.AdminScope",
    "django.contrib.messages.middleware.MessageMiddleware",
    "millrace.middleware.PagesEnd",
]
ROOT_URLCONF = "millrace.urls"
WSGI_APPLICATION = "millrace.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before Unfold's templates, because ours replace some of them.
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(service_urls.home() / "static"))()
# WhiteNoise finds the apps' files by itself, so the first run needs no collectstatic.
WHITENOISE_USE_FINDERS = env.bool("WHITENOISE_USE_FINDERS", default=_LOCAL)
# Limits of the admin's forms. The page that loads history takes one file, by a handler of its own;
# no other page takes any, so none is kept in memory or on disk.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_000
DATA_UPLOAD_MAX_NUMBER_FILES = 1
FILE_UPLOAD_HANDLERS = ["millrace.security.no_files.NoFiles"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("MILLRACE_MAX_BODY_BYTES", default=32 * 1024 * 1024)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    # If ClickHouse is down, Millrace logs that itself, once and in fewer words than these do.
    "loggers": {name: {"level": "ERROR"} for name in ("clickhouse_connect", "urllib3")},
}

# --- Celery -------------------------------------------------------------------------------------

CELERY_BROKER_URL = _url("CELERY_BROKER_URL")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    # Who queues a task tries each address once. The reconciler finds what could not be queued, and
    # without this a request waited six seconds for a broker that is down. Workers wait regardless.
    "max_retries": CELERY_BROKER_URL.count(";"),
    "interval_start": 0,
}
# A task's result is the state of the object it works on, which is in Postgres.
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "ingestion.tasks.consume_slice": {"queue": "ingest"},
    # Backfills take long, and must not keep the reconcilers' threads.
    "ingestion.tasks.run_backfill": {"queue": "backfill"},
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "keep-consuming": {
        "task": "ingestion.tasks.keep_consuming",
        "schedule": env.float("MILLRACE_TICK_SECONDS", default=1.0),
        "options": {"expires": 5},
    },
    "reconcile-warehouses": {
        "task": "tenants.tasks.reconcile",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "reconcile-tables": {
        "task": "ingestion.tasks.reconcile",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "go-on-with-quarantine-runs": {
        "task": "ingestion.tasks.go_on_with_runs",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "go-on-with-backfills": {
        "task": "ingestion.tasks.go_on_with_backfills",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "remove-uploads": {
        "task": "ingestion.tasks.remove_uploads",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "hold-over-plan": {
        "task": "tenants.tasks.hold_over_plan",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "measure-storage": {
        "task": "tenants.tasks.measure_storage",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "measure-lag": {
        "task": "ingestion.tasks.measure_lag",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
}

# --- REST ---------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.rest.authentication.APIKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tenants.rest.problem.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
# Cross-origin calls. A page of any origin may call the API: callers send a key or token, and
# cookies are ignored. tenants.rest.authentication checks a key that is restricted to origins.
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_ALL_ORIGINS = True
CORS_ALLOW_METHODS = ["GET", "POST", "DELETE"]
CORS_ALLOW_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"]
CORS_PREFLIGHT_MAX_AGE = 7200
CORS_EXPOSE_HEADERS = [
    *("Content-Disposition", "ETag", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("X-Millrace-Query-Id", "X-Millrace-Query-Version"),
]
SPECTACULAR_SETTINGS = {
    "TITLE": "Millrace API",
    "DESCRIPTION": "Send events and run published queries. Every call carries a tenant's API key.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tenants.rest.openapi_problems.problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "SourceStateEnum": "ingestion.api.serializers.SOURCE_STATES",
        "RunStateEnum": "ingestion.api.backfill_serializers.RUN_STATES",
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- Millrace -----------------------------------------------------------------------------------

MILLRACE_SLICE_SECONDS = env.float("MILLRACE_SLICE_SECONDS", default=15.0)
MILLRACE_LEASE_SECONDS = env.float("MILLRACE_LEASE_SECONDS", default=30.0)
MILLRACE_BATCH_ROWS = env.int("MILLRACE_BATCH_ROWS", default=100_000)
MILLRACE_BATCH_BYTES = env.int("MILLRACE_BATCH_BYTES", default=32 * 1024 * 1024)
#: Age at which a batch is inserted, however few rows it has. It grows for tenants whose busy
#: streams would otherwise take more than their share of a worker's inserts.
MILLRACE_BATCH_AGE_SECONDS = env.float("MILLRACE_BATCH_AGE_SECONDS", default=0.5)

#: The addresses that connections may use in addition to public ones: private, loopback, link-local,
#: networks, host:port (ingestion/hosts.py). Embedded brokers listen on loopback.
MILLRACE_CONNECTION_NETWORKS: list[str] = env.list(
    "MILLRACE_CONNECTION_NETWORKS",
    default=["private", "loopback"] if EMBEDDED_SERVICES else ["private"],
)
#: The platform's own addresses, in addition to its services', that no connection may use.
MILLRACE_OWN_URLS: dict[str, str] = (
    {"web server": _EMBEDDED["WEB_URL"]} if EMBEDDED_SERVICES else {}
)

#: The folder that tenants' exports are written to. Several machines need a shared folder.
MILLRACE_EXPORT_DIR = env.str("MILLRACE_EXPORT_DIR", default=str(service_urls.home() / "exports"))

#: The folder for uploaded files of history. Web servers and workers need the same one.
MILLRACE_UPLOAD_DIR = env.str("MILLRACE_UPLOAD_DIR", default=str(service_urls.home() / "uploads"))
#: The most bytes of an uploaded file, and of one that is fetched for a tenant.
MILLRACE_UPLOAD_MAX_BYTES = env.int("MILLRACE_UPLOAD_MAX_BYTES", default=5 * 1024**3)
#: Days that an upload is kept for resuming its run, after that was cancelled or has failed.
MILLRACE_UPLOAD_DAYS = env.int("MILLRACE_UPLOAD_DAYS", default=7)
#: What tenants may load from, besides public https://: folders, buckets and web servers, by how
#: their locations begin; {tenant} is the tenant's slug (ingestion/backfill/places/permitted.py).
MILLRACE_BACKFILL_LOCATIONS: list[str] = env.list("MILLRACE_BACKFILL_LOCATIONS", default=[])

#: The bearer token for scraping /metrics. Without it, /metrics answers 404.
MILLRACE_METRICS_TOKEN = env.str("MILLRACE_METRICS_TOKEN", default="")

#: Threads of one web process, the same number as in its server. Calling tenants share them.
MILLRACE_WEB_THREADS = env.int("MILLRACE_WEB_THREADS", default=8)

# Limits of a tenant's query; a saved query can't raise them.
MILLRACE_QUERY_SECONDS = env.int("MILLRACE_QUERY_SECONDS", default=30)
MILLRACE_QUERY_MEMORY_BYTES = env.int("MILLRACE_QUERY_MEMORY_BYTES", default=2 * 1024**3)
MILLRACE_QUERY_READ_ROWS = env.int("MILLRACE_QUERY_READ_ROWS", default=1_000_000_000)
#: 0 means no limit in addition to the one on rows.
MILLRACE_QUERY_READ_BYTES = env.int("MILLRACE_QUERY_READ_BYTES", default=0)
MILLRACE_QUERY_RESULT_ROWS = env.int("MILLRACE_QUERY_RESULT_ROWS", default=1_000_000)
MILLRACE_QUERY_RESULT_BYTES = env.int("MILLRACE_QUERY_RESULT_BYTES", default=256 * 1024 * 1024)
MILLRACE_QUERY_THREADS = env.int("MILLRACE_QUERY_THREADS", default=4)


def _link(title: str, icon: str, view: str) -> dict[str, Any]:
    """A link in the sidebar, shown to users who may view the page."""
    app, _, model = view.removeprefix("admin:").removesuffix("_changelist").rpartition("_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(view),
        "permission": lambda request: not app or request.user.has_perm(f"{app}.view_{model}"),
    }


UNFOLD = {
    "SITE_TITLE": "Millrace",
    "SITE_HEADER": "Millrace",
    "SITE_SUBHEADER": "Live analytics for each tenant",
    "SITE_ICON": lambda _: static("millrace/icon.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("millrace/icon.svg")}
    ],
    "STYLES": [lambda _: static("millrace/admin.css")],
    "LOGIN": {"form": "millrace.security.login.LoginForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "millrace.dashboard.dashboard",
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.7)",
            "100": "oklch(95.3% .051 180.8)",
            "200": "oklch(91% .096 180.4)",
            "300": "oklch(85.5% .138 181.1)",
            "400": "oklch(77.7% .152 181.9)",
            "500": "oklch(70.4% .14 182.5)",
            "600": "oklch(51.1% .096 186.4)",
            "700": "oklch(45% .085 187)",
            "800": "oklch(43.7% .078 188.2)",
            "900": "oklch(38.6% .063 188.4)",
            "950": "oklch(27.7% .046 192.5)",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": [
            {"items": [_link("Overview", "monitoring", "admin:index")]},
            {
                "title": "Streams",
                "separator": True,
                "items": [
                    _link("Sources", "water", "admin:ingestion_source_changelist"),
                    _link("Tables", "table", "admin:ingestion_table_changelist"),
                    _link("Connections", "hub", "admin:ingestion_connection_changelist"),
                    _link("Partitions", "lan", "admin:ingestion_streampartition_changelist"),
                    _link("Batches", "inventory_2", "admin:ingestion_batch_changelist"),
                    _link("Ledger", "menu_book", "admin:ingestion_foldedbatches_changelist"),
                    _link("Gaps", "broken_image", "admin:ingestion_gap_changelist"),
                    _link("Backfills", "history", "admin:ingestion_backfill_changelist"),
                    _link("Backfill runs", "cloud_sync", "admin:ingestion_backfillrun_changelist"),
                ],
            },
            {
                "title": "Queries",
                "separator": True,
                "items": [
                    _link(
                        "Saved queries", "query_stats", "admin:analytics_api_savedquery_changelist"
                    ),
                    _link("API keys", "key", "admin:tenants_apikey_changelist"),
                    {"title": "API description", "icon": "api", "link": reverse_lazy("api-docs")},
                ],
            },
            {
                "title": "Tenants and access",
                "separator": True,
                "items": [
                    _link("Tenants", "domain", "admin:tenants_tenant_changelist"),
                    _link("Plans", "speed", "admin:tenants_plan_changelist"),
                    _link("Usage", "bar_chart", "admin:tenants_usage_changelist"),
                    _link("Warehouses", "database", "admin:tenants_warehouse_changelist"),
                    _link("Members", "badge", "admin:tenants_membership_changelist"),
                    _link("Audit log", "history_edu", "admin:tenants_auditentry_changelist"),
                    _link("Users", "person", "admin:auth_user_changelist"),
                    _link("Groups", "group", "admin:auth_group_changelist"),
                ],
            },
        ],
    },
}
