"""A hand-written endpoint with FastAPI and httpx: one key, one query, no limits, log or guard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Header, HTTPException, Response

URL, KEY, SQL = os.environ["BENCH_URL"], os.environ["BENCH_KEY"], os.environ["BENCH_SQL"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/by_country")
async def by_country(below: int, authorization: str = Header()) -> Response:
    if authorization != f"Bearer {KEY}":
        raise HTTPException(401)
    answer = await app.state.client.post(
        URL, params={"param_below": below, "default_format": "JSON"}, content=SQL
    )
    if answer.status_code != 200:
        raise HTTPException(502)
    return Response(answer.content, media_type="application/json")
