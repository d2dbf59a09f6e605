"""What a server keeps beside documents: runs, feedback, log-ins, assistants, prompts, settings.

Each method is one request; what comes back is the JSON of the server's description, ``/docs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ragstack.client.asking import begun, followed, named, question_json
from ragstack.client.connection import Connection
from ragstack.errors import InputError
from ragstack.filters import Where
from ragstack.types import Event

__all__ = ["Keeping"]

Json = dict[str, Any]


class Keeping:
    """The part of ``Client`` that ``Stack`` does not have."""

    connection: Connection

    def login(self, user: str, password: str) -> Json:
        """Log in, and ask as this user from now on; return the user, groups, rights and expiry.

        Raises:
            NotSignedIn: No such user, or another password.
        """
        found: Json = self.connection.post("/api/login", {"user": user, "password": password})
        self.connection.key = str(found["token"])
        return {name: value for name, value in found.items() if name != "token"}

    def logout(self) -> None:
        """End the log-in; what follows is asked by nobody."""
        self.connection.post("/api/logout", {})
        self.connection.key = ""

    def me(self) -> Json:
        """Return the user who asks, with groups and rights."""
        return self._object("/api/me")

    def begin(
        self,
        question: str,
        *,
        where: Where | None = None,
        collection: str = "default",
        **more: object,
    ) -> str:
        """Return the id of a run that goes on at the server; ``follow`` it whenever.

        Args:
            more: What ``ask`` takes, and ``chat``, ``assistant``, ``model``.
        """
        body = question_json(question, where, collection=collection, **more)
        return begun(self.connection, body)

    def follow(self, run: str) -> Iterator[Event]:
        """Yield the events of a run from its beginning, as ``stream`` does.

        A connection that breaks is taken up where it broke. Closing the iterator leaves the run as
        it is.

        Raises:
            NotFound: There is no such run.
        """
        return followed(self.connection, run)

    def cancel(self, run: str) -> None:
        """Stop a run."""
        self.connection.post(f"/api/runs/{named(run)}/cancel", {})

    def run(self, run: str) -> Json:
        """Return a run: its question, prompt, candidates, timings and answer.

        Raises:
            NotFound: There is no such run.
        """
        return self._object(f"/api/runs/{named(run)}")

    def run_attribution(self, run: str, *, exact: bool = False) -> Json:
        """Return what each passage did for a run's answer; it is kept with the run.

        Args:
            exact: Read the prompt anew without each passage, which takes longer.

        Raises:
            NotFound: There is no such run.
            UnsupportedCapability: The model gives no log-probabilities.
        """
        path = f"/api/runs/{named(run)}/attribution"
        found: Json = self.connection.post(path, {"exact": exact})
        return found

    def runs(
        self, *, chat: str | None = None, limit: int | None = None, before: str | None = None
    ) -> list[Json]:
        """Return one's own runs, the latest first.

        Args:
            before: Only those before this time, in ISO 8601: a run's ``at``.
        """
        return self._list("/api/runs", "runs", chat=chat, limit=limit, before=before)

    def feedback(self, run: str, value: int, reason: str = "") -> None:
        """Say that a run's answer was good, 1, or bad, -1, and why."""
        if value not in (1, -1):
            raise InputError(f"feedback is 1 or -1, got {value!r}")
        body = {"run": run, "value": value, "reason": reason}
        self.connection.post("/api/feedback", body)

    def feedbacks(self) -> list[Json]:
        """Return what was said of answers; for administrators."""
        return self._list("/api/feedback", "feedback")

    def conversations(self, query: str = "") -> list[Json]:
        """Return the stored conversations with their titles, the latest first.

        Args:
            query: Only those in which it is said.
        """
        return self._list("/api/chats", "chats", q=query or None)

    def models(self) -> Json:
        """Return which models there are, loaded or not, how fast, and what memory they take."""
        return self._object("/api/models")

    def collections(self) -> list[Any]:
        """Return the collections of the base."""
        return self._list("/api/collections", "collections")

    def delete_collection(self, name: str) -> None:
        """Remove a collection with all its documents."""
        self.connection.call("DELETE", f"/api/collections/{named(name)}")

    def settings(self) -> Json:
        """Return the configuration, keys and passwords masked."""
        return self._object("/api/settings")

    def save_settings(self, settings: Mapping[str, Any]) -> Json:
        """Check settings and write them into the base's ``ragstack.toml``; the next start reads it.

        Args:
            settings: Nested as in the file; None leaves a setting to its default.

        Raises:
            ConfigError: They cannot be used; nothing is written.
        """
        return self._put("/api/settings", {"config": dict(settings)})

    def assistants(self) -> list[Json]:
        """Return the assistants."""
        return self._list("/api/assistants", "assistants")

    def save_assistant(self, assistant: Mapping[str, Any]) -> Json:
        """Make an assistant, or change the one of this name."""
        body = {key: value for key, value in assistant.items() if key != "name"}
        return self._put(f"/api/assistants/{named(str(assistant.get('name', '')))}", body)

    def delete_assistant(self, name: str) -> None:
        """Remove an assistant."""
        self.connection.call("DELETE", f"/api/assistants/{named(name)}")

    def prompts(self) -> list[Json]:
        """Return the prompts in every language, with their versions."""
        return self._list("/api/prompts", "prompts")

    def save_prompt(self, language: str, name: str, text: str) -> Json:
        """Make a new version of a prompt."""
        return self._put(f"/api/prompts/{named(language)}/{named(name)}", {"text": text})

    def restore_prompt(self, language: str, name: str, version: int) -> Json:
        """Take an older version of a prompt again."""
        path = f"/api/prompts/{named(language)}/{named(name)}/restore"
        found: Json = self.connection.post(path, {"version": version})
        return found

    def map(
        self, *, collection: str = "default", method: str = "pca", question: str | None = None
    ) -> Json:
        """Return the chunks as points of a plane, near where they say alike.

        Args:
            method: ``pca`` or ``tsne``.
            question: Placed among them.
        """
        return self._object("/api/map", collection=collection, method=method, question=question)

    def _object(self, path: str, **params: object) -> Json:
        found: Json = self.connection.get(path, **params)
        return found

    def _list(self, path: str, name: str, **params: object) -> list[Any]:
        found = self.connection.get(path, **params)
        rows: list[Any] = found[name] if isinstance(found, dict) else found
        return rows

    def _put(self, path: str, body: Mapping[str, Any]) -> Json:
        found: Json = self.connection.call("PUT", path, body=body)
        return found
