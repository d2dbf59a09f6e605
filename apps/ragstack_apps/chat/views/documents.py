"""The page *Documents*: what is known, how more comes in, and what became of each file."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.jobs import draw_jobs, watch
from ragstack_apps.chat.manner import collections_of
from ragstack_apps.chat.notes import amount, day, fail
from ragstack_apps.chat.safe import plain
from ragstack_apps.chat.session import Page, Session
from ragstack_apps.chat.source import title_of

__all__ = ["PAGE", "page"]

PAGE = Page({"en": "Documents", "fr": "Documents"}, ":material/folder_open:", 10)

_ROWS = 20
_CHUNKS = 10


def page(session: Session) -> None:
    """Draw the ways in, the jobs at work, and the list."""
    words = session.words
    st.title(PAGE.named(words.language))
    collection = _collection(session)
    if session.may("write"):
        _ways_in(session, collection)
    draw_jobs(session)
    _list(session, collection)


def _collection(session: Session) -> str:
    words, known = session.words, collections_of(session)
    column, _ = st.columns((1, 2))
    found = column.selectbox(
        words("manner.collection"),
        known or ["default"],
        accept_new_options=session.may("write"),
        key="documents-collection",
        help=words("documents.collection.help"),
    )
    return str(found or "default")


def _ways_in(session: Session, collection: str) -> None:
    words = session.words
    names = [words("documents.upload"), words("documents.folder"), words("documents.connector")]
    tabs = st.tabs(names if session.may("admin") else names[:1])
    with tabs[0], st.form("upload", clear_on_submit=True, border=False):
        st.html(_words_of_dropping(session))
        files = st.file_uploader(words("documents.drop"), accept_multiple_files=True)
        sent = st.form_submit_button(words("documents.read"), type="primary")
        if sent and files:
            told = [(file.name, file.getvalue()) for file in files]
            _begin(session, lambda: session.api.upload(told, collection=collection, meta={}))
    if len(tabs) == 1:
        return
    with tabs[1], st.form("folder", border=False):
        path = st.text_input(words("documents.path"), help=words("documents.path.help"))
        if st.form_submit_button(words("documents.read")) and path.strip():
            body: Json = {"paths": [path.strip()], "collection": collection}
            _begin(session, lambda: session.api.post("ingest", body=body))
    with tabs[2], st.form("connector", border=False):
        use = st.text_input(words("documents.use"), placeholder="web")
        text = st.text_area(words("documents.options"), placeholder='{"url": "https://…"}')
        if st.form_submit_button(words("documents.read")) and use.strip():
            options = _options(session, text)
            if options is not None:
                asked: Json = {
                    "connector": {"use": use.strip(), **options},
                    "collection": collection,
                }
                _begin(session, lambda: session.api.post("ingest", body=asked))


def _words_of_dropping(session: Session) -> str:
    """Return a style that puts our words in the place of Streamlit's own, which are English."""
    most = st.get_option("server.maxUploadSize")
    told = {
        "button p": session.words("documents.choose"),
        "[data-testid=stFileUploaderDropzoneInstructions] span": session.words(
            "documents.most", n=most
        ),
    }
    return "".join(
        f"<style>[data-testid=stFileUploaderDropzone] {place} {{ font-size: 0 }}"
        f"[data-testid=stFileUploaderDropzone] {place}::after "
        f"{{ content: {json.dumps(words, ensure_ascii=False)}; font-size: 0.875rem }}</style>"
        for place, words in told.items()
    )


def _options(session: Session, text: str) -> Json | None:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        st.error(session.words("documents.options.bad"))
        return None
    return found


def _begin(session: Session, call: Any) -> None:
    job = session.tried(call, fail)
    if job:
        watch(session, str(job["job"]))


def _list(session: Session, collection: str) -> None:
    words, state = session.words, session.state
    wanted = st.text_input(
        words("documents.search"), icon=":material/search:", key="documents-search"
    ).strip()
    place = (collection, wanted)
    if state.get("documents-place") != place:
        state["documents-place"], state["documents-offset"] = place, 0
    offset = int(state["documents-offset"])
    try:
        found = session.api.get(
            "documents", collection=collection, q=wanted or None, offset=offset, limit=_ROWS
        )
    except RagstackError as error:
        fail(error)
        return
    rows, total = found.get("documents") or [], int(found.get("total") or 0)
    st.caption(words("documents.count", n=amount(total)))
    for row in rows:
        _row(session, row, collection)
    with st.container(horizontal=True):
        if offset and st.button(words("before"), icon=":material/chevron_left:"):
            state["documents-offset"] = max(0, offset - _ROWS)
            st.rerun()
        if offset + _ROWS < total and st.button(words("next"), icon=":material/chevron_right:"):
            state["documents-offset"] = offset + _ROWS
            st.rerun()


def _row(session: Session, row: Json, collection: str) -> None:
    words, name = session.words, str(row["id"])
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        with st.container():
            st.text(title_of(row))
            told = [row.get("type"), row.get("language"), day(row.get("date"))]
            told += [words("documents.length", n=amount(row.get("length")))]
            told += [words("documents.chunks", n=amount(row.get("chunks")))]
            st.caption(plain(" · ".join(str(one) for one in told if one), most=120))
        if st.button(words("documents.look"), key=f"look-{name}", icon=":material/visibility:"):
            _look(session, row, collection)
        if not session.may("write"):
            return
        if st.button(words("documents.again"), key=f"again-{name}", icon=":material/sync:"):
            _reread(session, name, collection)
        if st.button(words("documents.delete"), key=f"delete-{name}", icon=":material/delete:"):
            _delete(session, row, collection)


def _reread(session: Session, name: str, collection: str) -> None:
    place = ("documents", name, "reingest")
    told = session.tried(lambda: session.api.post(*place, collection=collection), fail)
    if told and told.get("job"):
        watch(session, str(told["job"]))


def _delete(session: Session, row: Json, collection: str) -> None:
    words = session.words

    def body() -> None:
        st.text(words("documents.sure", name=title_of(row)))
        if st.button(words("documents.delete"), type="primary", key="sure"):
            try:
                session.api.delete("documents", str(row["id"]), collection=collection)
            except RagstackError as error:
                fail(error)
                return
            st.rerun()

    st.dialog(words("documents.delete"))(body)()


def _look(session: Session, row: Json, collection: str) -> None:
    def body() -> None:
        _chunks(session, row, collection)

    st.dialog(plain(title_of(row), most=80), width="large")(body)()


def _chunks(session: Session, row: Json, collection: str) -> None:
    words, name = session.words, str(row["id"])
    try:
        found = session.api.get("documents", name, "chunks", collection=collection)
    except RagstackError as error:
        fail(error)
        return
    chunks: list[Json] = found.get("chunks") or []
    pages = max(1, -(-len(chunks) // _CHUNKS))
    st.caption(words("documents.chunks", n=amount(len(chunks))))
    at = 1
    if pages > 1:
        at = int(
            st.number_input(words("documents.part", n=pages), 1, pages, step=1, key=f"part-{name}")
        )
    for chunk in chunks[(at - 1) * _CHUNKS : at * _CHUNKS]:
        title = f"{chunk['start']}–{chunk['end']} · {chunk.get('kind') or 'text'}"
        with st.expander(plain(f"{title} · {chunk['text']}", most=90)):
            if chunk.get("context"):
                st.caption(plain(str(chunk["context"])))
            st.text(str(chunk["text"]))
