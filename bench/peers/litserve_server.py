"""LitServe, batching on: `litserve_server.py PORT WORKERS`."""

from __future__ import annotations

import sys
from typing import Any

import litserve
import msgspec
from fastapi import Response

from bench.peers.judging import Lodbrok, decode


class Api(litserve.LitAPI):
    """Requests are batched as lists of editors."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.lodbrok = Lodbrok()

    # Without an annotation, which LitServe would take for the type of the body.
    def decode_request(self, request) -> Any:  # type: ignore[no-untyped-def]
        return decode(list(request.values()))

    def batch(self, inputs: Any) -> Any:
        return inputs

    def predict(self, inputs: Any) -> Any:
        return self.lodbrok.judge(inputs)

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        # Encoded here: FastAPI would walk through the whole answer first.
        return Response(msgspec.json.encode(output), media_type="application/json")


if __name__ == "__main__":
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    api = Api(max_batch_size=64, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
