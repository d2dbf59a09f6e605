"""A citation or passage in, its source on the page with the words highlighted where they stand."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.notes import fail
from ragstack_apps.chat.safe import marked, plain
from ragstack_apps.chat.session import Session
from ragstack_apps.chat.widgets import highlighted

__all__ = ["open_source", "place_of", "title_of"]


def title_of(thing: Json) -> str:
    """Return how a document, passage or citation is called: its title, else its file's name."""
    meta = thing.get("meta") or {}
    title = thing.get("title") or meta.get("title")
    source = str(thing.get("source") or thing.get("id") or "").removeprefix("upload:")
    return str(title or source.rstrip("/").rpartition("/")[2] or source)


def place_of(session: Session, thing: Json) -> str:
    """Return where in its document a quote stands: a page, a heading."""
    mark = thing.get("mark") or {}
    found = []
    if mark.get("page") is not None:
        found.append(session.words("source.page", n=mark["page"]))
    if mark.get("label"):
        found.append(f"«{' '.join(str(mark['label']).split())}»")
    return ", ".join(found)


def open_source(session: Session, cited: Json, *, collection: str | None) -> None:
    """Open a dialog with the document and the cited words highlighted in it."""

    def body() -> None:
        _draw(session, cited, collection)

    title = plain(title_of(cited), most=80)
    st.dialog(title or session.words("source.title"), width="large")(body)()


def _draw(session: Session, cited: Json, collection: str | None) -> None:
    words, api = session.words, session.api
    name, start, end = str(cited["document_id"]), int(cited["start"]), int(cited["end"])
    try:
        document: Json = api.get("documents", name, collection=collection)
    except RagstackError as error:
        fail(error)
        return
    text = str(document.get("text") or "")
    place = place_of(session, cited)
    verdict = cited.get("verdict")
    if place or verdict:
        shown = [place, words(f"verdict.{verdict}") if verdict else ""]
        st.caption(plain(" · ".join(part for part in shown if part)))
    page = _page_of(document, cited)
    body = marked(text, [(start, end)])
    if page is None:
        highlighted(body, label=words("source.text"), key=f"source-{name}-{start}")
    else:
        views = (words("source.picture"), words("source.text"))
        picked = st.segmented_control(
            words("source.view"), views, default=views[0], key=f"view-{name}-{start}"
        )
        if picked == views[1]:
            highlighted(body, label=words("source.text"), key=f"source-{name}-{start}")
        else:
            _picture(session, name, (page, start, end), collection)
    st.download_button(
        words("source.file"),
        data=lambda: api.data("documents", name, "file", collection=collection),
        file_name=title_of({"source": document.get("source"), "id": name}),
        icon=":material/download:",
        key=f"file-{name}-{start}",
        on_click="ignore",
    )
    st.text(str(document.get("source") or "").removeprefix("upload:"))


def _picture(session: Session, name: str, at: tuple[int, int, int], collection: str | None) -> None:
    page, start, end = at
    shown = st.number_input(
        session.words("source.which"), min_value=1, value=page, step=1, key=f"page-{name}-{start}"
    )
    place = ("documents", name, "pages", f"{shown}.png")
    try:
        data = session.api.data(*place, start=start, end=end, collection=collection)
    except RagstackError as error:
        fail(error)
        return
    st.image(data, caption=session.words("source.page", n=shown), width="stretch")


def _page_of(document: Json, cited: Json) -> int | None:
    """Return the page a span begins on, where the document has pages that can be shown."""
    meta: dict[str, Any] = document.get("meta") or {}
    is_pdf = str(meta.get("type") or document.get("type") or "").lower().endswith("pdf")
    if not is_pdf and not str(document.get("source") or "").lower().endswith(".pdf"):
        return None
    page = (cited.get("mark") or {}).get("page")
    if page is not None:
        return int(page)
    marks = [m for m in document.get("marks") or () if m.get("page") is not None]
    inside = [m for m in marks if m["start"] <= int(cited["start"]) < m["end"]]
    return int(inside[0]["page"]) if inside else None
