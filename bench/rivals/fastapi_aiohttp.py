"""A hand-written endpoint with FastAPI and aiohttp: one key, one query, no limits, log or guard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI, Header, HTTPException, Response

URL, KEY, SQL = os.environ["BENCH_URL"], os.environ["BENCH_KEY"], os.environ["BENCH_SQL"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/by_country")
async def by_country(below: int, authorization: str = Header()) -> Response:
    if authorization != f"Bearer {KEY}":
        raise HTTPException(401)
    bound = {"param_below": below, "default_format": "JSON"}
    async with app.state.client.post(URL, params=bound, data=SQL) as answer:
        body = await answer.read()
    if answer.status != 200:
        raise HTTPException(502)
    return Response(body, media_type="application/json")
