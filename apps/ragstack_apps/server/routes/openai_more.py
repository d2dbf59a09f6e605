"""OpenAI's completions and embeddings, and reranking as Cohere and Jina have it."""

from __future__ import annotations

import base64
from collections.abc import Generator, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Request

from ragstack.errors import InputError, UnsupportedCapability
from ragstack.types import Chunk, Passage
from ragstack_apps.server.bodies import RerankBody
from ragstack_apps.server.caller import Asks, Caller, Reads
from ragstack_apps.server.calls import Call
from ragstack_apps.server.house import House
from ragstack_apps.server.replies import Reply
from ragstack_apps.server.routes.openai import openai_failed, openai_frames
from ragstack_apps.server.schemas import chat_request
from ragstack_apps.server.streams import EventStream

__all__ = ["embedded", "router"]

_TEXTS = 2048
_COMPLETION = {"model": "MODEL", "prompt": "The lighthouse was built by", "max_tokens": 16}
_EMBEDDING = {"model": "MODEL", "input": ["Who pays for the roof?"]}


def router(house: House) -> APIRouter:
    """Return ``/v1/completions``, ``/v1/embeddings`` and ``/v1/rerank``."""
    routes = APIRouter(prefix="/v1", tags=["openai"])

    @routes.post("/completions", response_model=None, summary="Go on from a prompt")
    def completions(
        request: Request,
        caller: Asks,
        body: Annotated[dict[str, Any], Body(examples=[_COMPLETION])],
    ) -> Any:
        call: Call = request.state.call
        if body.get("stream"):
            frames = openai_frames(_pieces(house, body, call, caller))
            return EventStream(
                frames,
                failed=openai_failed,
                end=b"data: [DONE]\n\n",
                ping_s=house.settings.ping_s,
            )
        return _completion(house, body, call, caller)

    @routes.post("/embeddings", summary="Texts to vectors")
    def embeddings(
        caller: Reads, body: Annotated[dict[str, Any], Body(examples=[_EMBEDDING])]
    ) -> dict[str, Any]:
        return embedded(house, body)

    @routes.post("/rerank", summary="Texts ordered by how well they fit a question")
    def rerank(body: RerankBody, caller: Reads) -> dict[str, Any]:
        texts = [_text_of(one) for one in body.documents]
        scores = _scores(house, body.query, texts)
        order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))
        results = [
            {
                "index": at,
                "relevance_score": scores[at],
                **({"document": {"text": texts[at]}} if body.return_documents else {}),
            }
            for at in order[: body.top_n]
        ]
        return {"model": body.model or _reranker_name(house), "results": results}

    return routes


def _as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """Return the chat request that a completion's prompt becomes: one message of a user."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if not isinstance(prompt, str) or not prompt:
        raise InputError("prompt is one text here, not blank; tokens and many texts are not taken")
    for name in ("suffix", "logprobs", "best_of", "echo"):
        if body.get(name) not in (None, False, 0, 1, ""):
            raise InputError(f"{name} is not supported here, leave it out")
    left = {"prompt", "suffix", "logprobs", "best_of", "echo"}
    kept = {key: value for key, value in body.items() if key not in left}
    return {**kept, "messages": [{"role": "user", "content": prompt}]}


def _completion(house: House, body: dict[str, Any], call: Call, caller: Caller) -> dict[str, Any]:
    wanted = chat_request(_as_chat(body))
    reply = Reply(wanted.model, wanted.choices)
    whole = reply.whole(house.service.events(wanted, call, caller))
    choices = [
        {
            "index": choice["index"],
            "text": choice["message"]["content"] or "",
            "logprobs": None,
            "finish_reason": choice["finish_reason"],
        }
        for choice in whole["choices"]
    ]
    number = str(whole["id"]).replace("chatcmpl", "cmpl")
    return {**whole, "id": number, "object": "text_completion", "choices": choices}


def _pieces(
    house: House, body: dict[str, Any], call: Call, caller: Caller
) -> Generator[dict[str, Any], None, None]:
    wanted = chat_request(_as_chat(body))
    reply = Reply(wanted.model, wanted.choices)
    events = house.service.events(wanted, call, caller)
    for chunk in reply.chunks(events, include_usage=wanted.include_usage):
        choices = [
            {
                "index": choice["index"],
                "text": choice["delta"].get("content") or "",
                "logprobs": None,
                "finish_reason": choice["finish_reason"],
            }
            for choice in chunk["choices"]
        ]
        number = str(chunk["id"]).replace("chatcmpl", "cmpl")
        yield {**chunk, "id": number, "object": "text_completion", "choices": choices}


def embedded(house: House, body: dict[str, Any]) -> dict[str, Any]:
    """Return the vectors of a request's texts.

    Raises:
        InputError: There are none, or they are tokens.
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise InputError(
            "input is a text or a list of texts; tokens are not taken",
            hint="LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)",
        )
    if len(texts) > _TEXTS or any(not text for text in texts):
        raise InputError(f"input has {len(texts)} texts, expected 1 to {_TEXTS}, none empty")
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise InputError(f"encoding_format is {form!r}, expected 'float' or 'base64'")
    parts = house.stack.parts
    wanted = body.get("dimensions")
    if wanted not in (None, parts.embedder.dimensions):
        raise InputError(f"dimensions is {wanted!r}, there are {parts.embedder.dimensions}")
    # As OpenAI's models, one way for questions and texts; ``input_type`` says it is a question.
    asked = body.get("input_type") in ("query", "search_query")
    vectors = (
        parts.embedder.embed_queries(texts) if asked else parts.embedder.embed_documents(texts)
    )
    counted = sum(parts.counter.count(text) for text in texts)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": at, "embedding": _vector(row, form)}
            for at, row in enumerate(vectors)
        ],
        "model": body.get("model") or parts.embedder.fingerprint,
        "usage": {"prompt_tokens": counted, "total_tokens": counted},
    }


def _vector(row: Any, form: str) -> Any:
    if form == "base64":
        return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()
    return [float(x) for x in row]


def _text_of(document: str | dict[str, Any]) -> str:
    text = document if isinstance(document, str) else document.get("text")
    if not isinstance(text, str):
        raise InputError("a document is a text, or an object with a text")
    return text


def _reranker_name(house: House) -> str:
    use = house.stack.config.rerank.use
    return use if use != "none" else house.stack.parts.embedder.fingerprint


def _scores(house: House, query: str, texts: Sequence[str]) -> list[float]:
    """Return the configured reranker's scores; without one, cosines of the embedder."""
    if not query.strip():
        raise InputError("query is blank, expected a question")
    parts = house.stack.parts
    reranker = parts.reranker
    if reranker is None:
        asked = parts.embedder.embed_queries([query])[0]
        return [float(x) for x in parts.embedder.embed_documents(list(texts)) @ asked]
    passages = [
        Passage(Chunk(f"{at}", "0" * 8, 0, len(text), text), 0.0, "", {})
        for at, text in enumerate(texts)
    ]
    scores = [float(score) for score in reranker.score(query, passages)]
    if len(scores) != len(texts):
        raise UnsupportedCapability("the configured reranker scores no loose texts")
    return scores
