"""The jobs that read documents: how far each one is, what failed and why, and a way to stop it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ragstack.errors import RagstackError
from ragstack_apps.chat.api import Json
from ragstack_apps.chat.follow import JobFollower
from ragstack_apps.chat.notes import fail, seconds
from ragstack_apps.chat.safe import plain
from ragstack_apps.chat.session import Session

__all__ = ["draw_jobs", "watch"]

_EVERY_S = 0.5
_MOST_SHOWN = 50
_COUNTED = ("added", "updated", "unchanged", "removed", "failed")


def watch(session: Session, job: str) -> None:
    """Look at a job from now on, in this tab."""
    jobs: dict[str, JobFollower] = session.state.setdefault("jobs", {})
    jobs[job] = JobFollower(job, session.api).start()


def draw_jobs(session: Session) -> None:
    """Draw the jobs this tab looks at; those at work draw themselves again."""
    _find_running(session)
    jobs: dict[str, JobFollower] = session.state.get("jobs") or {}
    for name, job in list(jobs.items()):
        if job.ended:
            _ended(session, name, job)
        else:
            st.fragment(run_every=_EVERY_S)(_working)(session, name)


def _find_running(session: Session) -> None:
    """Look at what was begun before this tab was opened, once."""
    if session.state.get("jobs-found") or not session.may("write"):
        return
    session.state["jobs-found"] = True
    try:
        found: list[Json] = session.api.get("ingest").get("jobs") or []
    except RagstackError:
        return
    for job in found:
        if job.get("state") in ("running", "queued"):
            watch(session, str(job.get("id") or job.get("job")))


def _working(session: Session, name: str) -> None:
    words, job = session.words, session.state["jobs"][name]
    if job.ended:
        st.rerun(scope="app")
    with st.container(border=True, key=f"job-{name}"):
        share = job.done / job.total if job.total else 0.0
        st.progress(
            min(1.0, share), text=words("jobs.progress", done=job.done, total=job.total or "?")
        )
        for source, kind in list(job.files.items())[-5:]:
            st.caption(plain(f"{words(f'step.{kind}')} · {source}", most=120))
        st.button(
            words("jobs.cancel"),
            key=f"cancel-{name}",
            icon=":material/stop_circle:",
            on_click=_cancel,
            args=(session, name),
        )


def _ended(session: Session, name: str, job: JobFollower) -> None:
    words = session.words
    with st.container(border=True, key=f"job-{name}"):
        if job.report is None:
            st.error(plain(job.error or words("jobs.stopped")), icon=":material/error:")
        else:
            _report(session, job.report)
        if st.button(words("close"), key=f"close-{name}"):
            del session.state["jobs"][name]
            st.rerun()


def _report(session: Session, report: Json) -> None:
    words = session.words
    counts = [words(f"report.{key}", n=len(report.get(key) or ())) for key in _COUNTED]
    chunks = words("documents.chunks", n=report.get("chunks") or 0)
    took = seconds(report.get("seconds"))
    done = plain(", ".join([*counts, chunks, took]))
    (st.warning if report.get("failed") else st.success)(done)
    for key in ("failed", "incomplete"):
        for failure in (report.get(key) or ())[:_MOST_SHOWN]:
            st.text(f"{words(f'report.{key}.one')} {failure['source']}: {failure['reason']}")
    for note in report.get("notes") or ():
        st.text(str(note))


def _cancel(session: Session, name: str) -> Any:
    session.tried(lambda: session.api.post("ingest", name, "cancel"), fail)
