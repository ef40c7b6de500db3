from __future__ import annotations

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client.exposition import choose_encoder

from millrace.metrics.collector import REGISTRY


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """``GET /metrics``, with MILLRACE_METRICS_TOKEN as a bearer token; 404 if that is not set."""
    expected = settings.MILLRACE_METRICS_TOKEN
    if not expected:
        raise Http404
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    is_known = hmac.compare_digest(token.strip().encode(), expected.encode())
    if scheme.lower() != "bearer" or not is_known:
        return HttpResponse(
            "Send MILLRACE_METRICS_TOKEN as: Authorization: Bearer ...\n",
            status=401,
            content_type="text/plain; charset=utf-8",
            headers={"WWW-Authenticate": 'Bearer realm="millrace metrics"'},
        )
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(
        encode(REGISTRY), content_type=content_type, headers={"Cache-Control": "no-store"}
    )
