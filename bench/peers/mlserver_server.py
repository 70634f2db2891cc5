"""MLServer, adaptive batching on: a model whose input is a tensor of strings, each an editor as JSON."""

from __future__ import annotations

import msgspec
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from bench.peers.judging import Lodbrok
from sb_api.records import Editor


class EditorModel(MLModel):
    """P(spam) of each editor."""

    async def load(self) -> bool:
        self.lodbrok = Lodbrok()
        self.decoder = msgspec.json.Decoder(Editor)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = payload.inputs[0].data.root
        editors = [self.decoder.decode(text) for text in texts]
        scores = self.lodbrok.score(editors)[:, 1].tolist()
        output = ResponseOutput(name="scores", shape=[len(scores), 1], datatype="FP32", data=scores)
        return InferenceResponse(model_name=self.name, outputs=[output])
