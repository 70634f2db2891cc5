"""FastAPI in process: no queue, no batching, the model in every web process. `uvicorn fastapi_server:app` runs it."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI, Request, Response

from bench.peers.judging import Lodbrok
from sb_api.json_bodies import decode_records
from sb_api.records import Editor

app = FastAPI()
lodbrok = Lodbrok()


@app.post("/predict")
async def predict(request: Request) -> Response:
    editors = decode_records(await request.body(), Editor, 10_000).all_sound()
    return Response(msgspec.json.encode(lodbrok.judge([editors])[0]), media_type="application/json")
