"""A server of canned data, in the server's place until it is there."""

from __future__ import annotations

import io
import json
import threading
import time
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image

TEXT = (
    "# Lighthouse\n\n"
    + "The coast is long.\n" * 60
    + "The lighthouse was built by Agnes Murray in 1871.\n"
    + "The sea is wide.\n" * 60
)
QUOTE = "The lighthouse was built by Agnes Murray in 1871."
EVIL = (
    "![x](http://evil.invalid/a.png) <img src=http://evil.invalid/b.png> [l](http://evil.invalid/c)"
)


def cited():
    at = TEXT.index(QUOTE)
    return {
        "marker": 1,
        "chunk_id": "d.1:0-9:text",
        "document_id": "d1",
        "source": "/x/lighthouse.md",
        "start": at,
        "end": at + len(QUOTE),
        "quote": QUOTE,
        "verdict": "verbatim",
        "mark": {"kind": "heading", "label": "Lighthouse", "page": None},
    }


def answer():
    text = f"**Agnes Murray** built the lighthouse [1]. {EVIL} The moon is cheese."
    at = text.index("The moon")
    return {
        "answer": text,
        "abstained": False,
        "grounded": False,
        "sentences": [
            {"start": 0, "end": 41, "verdict": "verbatim"},
            {"start": at, "end": len(text), "verdict": "unsupported"},
        ],
        "citations": [cited()],
        "passages": [],
        "usage": {"prompt_tokens": 812, "cached_tokens": 100, "answer_tokens": 44},
        "trust": 1.0,
        "seconds": {"retrieve": 0.02, "generate": 1.2},
        "notes": [],
    }


def app():
    app = FastAPI()
    runs: dict[str, dict[str, Any]] = {}
    chats: dict[str, dict[str, Any]] = {}
    docs = [
        {
            "id": "d1",
            "source": "/x/lighthouse.md",
            "title": "Lighthouse ![x](http://evil.invalid/t.png) https://evil.invalid",
            "type": "markdown",
            "language": "en",
            "date": "2024-01-01",
            "length": len(TEXT),
            "chunks": 3,
            "meta": {},
        }
    ]
    assistants: dict[str, Any] = {}

    @app.get("/health")
    def health():
        return {"ok": True}

    @app.get("/api/me")
    def me(request: Request):
        return {"user": "", "groups": [], "rights": ["read", "ask", "write", "admin"]}

    @app.post("/api/ask")
    async def ask(request: Request):
        body = await request.json()
        run = f"r{len(runs) + 1}"
        runs[run] = {
            "id": run,
            "question": body["question"],
            "state": "running",
            "events": [],
            "chat": body.get("chat"),
            "collection": "default",
            "style": "normal",
            "model": "scripted",
            "at": "2026-11-21T10:00:00+00:00",
            "settings": body,
        }
        threading.Thread(target=work, args=(run,), daemon=True).start()
        return StreamingResponse(events(run, 0), media_type="text/event-stream")

    def emit(run, name, data):
        runs[run]["events"].append((name, data))

    def work(run):
        r = runs[run]
        emit(run, "run", {"run": run})
        time.sleep(0.3)
        emit(run, "retrieval", {"question": r["question"], "trace": []})
        emit(run, "passages", {"passages": [{"title": "Lighthouse", "source": "/x/lighthouse.md"}]})
        final = answer()
        for word in ("thinking about it " * 8 + final["answer"]).split(" "):
            time.sleep(0.08)
            if r["state"] == "cancelled":
                emit(
                    run,
                    "error",
                    {"error": {"message": "the answer was stopped", "type": "Cancelled"}},
                )
                return
            emit(run, "token", {"text": word + " ", "reasoning": ""})
        r.update(
            state="done",
            answer=final,
            prompt={
                "messages": [
                    {"role": "system", "content": "Answer."},
                    {"role": "user", "content": r["question"]},
                ],
                "tokens": 812,
            },
            candidates=[
                {
                    **cited(),
                    "text": QUOTE,
                    "trail": {"lexical": 11.2, "vector": 0.83},
                    "kept": True,
                    "why": "first",
                },
                {
                    **cited(),
                    "chunk_id": "d.2",
                    "text": "The sea",
                    "trail": {"lexical": 1.2},
                    "kept": False,
                    "why": "under the floor",
                },
            ],
            timings=[
                {"name": "search", "start_s": 0, "end_s": 0.02},
                {"name": "generate", "start_s": 0.02, "end_s": 1.2},
            ],
        )
        c = chats.setdefault(r["chat"], {"id": r["chat"], "title": r["question"], "turns": []})
        c["turns"].append({"question": r["question"], "answer": final["answer"], "run": run})
        emit(run, "done", {"run": run, **final})

    def events(run, after):
        at = after
        while True:
            seen = runs[run]["events"]
            while at < len(seen):
                name, data = seen[at]
                at += 1
                yield f"event: {name}\nid: {at}\ndata: {json.dumps(data)}\n\n"
                if name in ("done", "error"):
                    return
            time.sleep(0.02)

    @app.get("/api/runs/{run}/events")
    def follow(run: str, after: int = 0):
        return StreamingResponse(events(run, after), media_type="text/event-stream")

    @app.post("/api/runs/{run}/cancel")
    def cancel(run: str):
        runs[run]["state"] = "cancelled"
        return {}

    @app.get("/api/runs")
    def all_runs():
        return {
            "runs": [{k: v for k, v in r.items() if k != "events"} for r in reversed(runs.values())]
        }

    @app.get("/api/runs/{run}")
    def one_run(run: str):
        if run not in runs:
            return JSONResponse({"error": {"message": "no run", "type": "NotFound"}}, 404)
        return {k: v for k, v in runs[run].items() if k != "events"}

    @app.get("/api/chats")
    def all_chats(q: str = ""):
        return {
            "chats": [
                {"id": c["id"], "title": c["title"]}
                for c in chats.values()
                if q.lower() in c["title"].lower()
            ]
        }

    @app.get("/api/chats/{name}")
    def chat(name: str):
        return chats.get(name) or JSONResponse(
            {"error": {"message": "no chat", "type": "NotFound"}}, 404
        )

    @app.patch("/api/chats/{name}")
    async def rename(name: str, request: Request):
        chats[name]["title"] = (await request.json())["title"]
        return {}

    @app.delete("/api/chats/{name}")
    def drop(name: str):
        chats.pop(name, None)
        return {}

    @app.post("/api/feedback")
    def feedback():
        return {}

    @app.get("/api/models")
    def models():
        return {
            "models": [
                {
                    "name": "scripted",
                    "loaded": True,
                    "tokens_per_second": 12.3,
                    "prompt_tokens_per_second": 220.0,
                    "memory_bytes": 400_000_000,
                    "streams": 2,
                    "context": 4096,
                }
            ]
        }

    @app.get("/api/collections")
    def collections():
        return {"collections": [{"name": "default"}, {"name": "papers"}]}

    @app.get("/api/assistants")
    def get_assistants():
        return {"assistants": list(assistants.values())}

    @app.put("/api/assistants/{name}")
    async def put_assistant(name: str, request: Request):
        assistants[name] = await request.json()
        return assistants[name]

    @app.delete("/api/assistants/{name}")
    def del_assistant(name: str):
        assistants.pop(name)
        return {}

    @app.get("/api/documents")
    def documents():
        return {"documents": docs, "total": len(docs)}

    @app.get("/api/documents/{name}")
    def document(name: str):
        return {
            "id": name,
            "source": "/x/lighthouse.md",
            "text": TEXT,
            "marks": [],
            "meta": {"title": "Lighthouse"},
        }

    @app.get("/api/documents/{name}/chunks")
    def chunks(name: str):
        return {
            "chunks": [
                {
                    "id": "c1",
                    "start": 0,
                    "end": 20,
                    "text": TEXT[:20],
                    "context": "Lighthouse",
                    "kind": "text",
                    "meta": {},
                }
            ]
        }

    @app.get("/api/documents/{name}/pages/{page}")
    def picture(name: str, page: str):
        data = io.BytesIO()
        Image.new("RGB", (200, 280), "white").save(data, "PNG")
        return Response(data.getvalue(), media_type="image/png")

    @app.get("/api/ingest")
    def jobs():
        return {"jobs": []}

    @app.post("/api/ingest")
    async def ingest(request: Request):
        form = await request.form()
        for f in form.getlist("files"):
            docs.append(
                {
                    "id": f"d{len(docs) + 1}",
                    "source": f.filename,
                    "title": f.filename,
                    "type": "text",
                    "length": f.size,
                    "chunks": 1,
                }
            )
        return JSONResponse({"job": "j1"}, 202)

    @app.get("/api/ingest/{job}/events")
    def job(job: str):
        def out():
            yield 'event: step\nid: 1\ndata: {"kind": "added", "source": "a.txt", "done": 1, "total": 2}\n\n'
            time.sleep(1)
            yield 'event: done\nid: 2\ndata: {"added": ["a.txt"], "failed": [{"source": "b.bin", "reason": "no loader reads it"}], "chunks": 3, "seconds": 1.2}\n\n'

        return StreamingResponse(out(), media_type="text/event-stream")

    @app.get("/api/settings")
    def settings():
        return {
            "settings": {
                "answer": {"style": "normal", "k": 8, "floor": 0.3},
                "cache": {"enabled": False},
                "index": {"lexical": {"use": "tantivy"}},
            }
        }

    @app.put("/api/settings")
    def put_settings():
        return {}

    @app.get("/api/prompts")
    def prompts():
        return {
            "prompts": [
                {
                    "language": "en",
                    "name": "answer",
                    "text": "Answer from the passages.",
                    "versions": [{"version": 1, "text": "Old", "at": "2026-01-01T00:00:00+00:00"}],
                }
            ]
        }

    @app.get("/api/map")
    def map_(question: str = ""):
        import math

        return {
            "points": [
                {
                    "chunk_id": f"c{i}",
                    "document_id": f"d{i % 4}",
                    "title": f"Doc {i % 4}",
                    "x": math.sin(i) + i % 4,
                    "y": math.cos(i * 2) + i % 3,
                    "cluster": i % 3,
                }
                for i in range(60)
            ],
            "question": {"x": 1, "y": 1} if question else None,
        }

    return app


if __name__ == "__main__":
    uvicorn.run(app(), port=8099, log_level="warning")
