"""Confluence, GitHub and GitLab: answers as their public API documentation shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ragstack.errors import InputError
from ragstack.protocols import Connector
from ragstack.testing.connectors import ConnectorSuite
from ragstack.types import Source
from ragstack_connectors.confluence import ConfluenceConnector
from ragstack_connectors.issues import GithubConnector, GitlabConnector, next_link
from ragstack_connectors.notion import NotionConnector

TOKEN = {"env": "SERVICE_TOKEN"}
STORAGE = (
    "<p>The trust pays.</p><ac:structured-macro ac:name='code'>"
    "<ac:parameter ac:name='language'>c</ac:parameter><ac:plain-text-body>"
    "<![CDATA[if (a < b) pay();]]></ac:plain-text-body></ac:structured-macro>"
)


class Site:
    """A Confluence with one space of three pages, two to a page of the list."""

    def __init__(self, reply: type[Exception]) -> None:
        self.reply = reply
        self.ids = ["1", "2", "3"]
        self.broken = ""

    def __call__(self, path: str, query: dict[str, str], body: Any) -> Any:
        if path.endswith("/spaces"):
            return {"results": [{"id": "77", "key": "DOC"}], "_links": {}}
        if path.endswith("/pages"):
            start = int(query.get("cursor", 0))
            found = [self._page(one) for one in self.ids[start : start + 2]]
            links = {}
            if start + 2 < len(self.ids):
                links["next"] = f"/wiki/api/v2/pages?limit=2&cursor={start + 2}"
            return {"results": found, "_links": links}
        one = path.rpartition("/")[2]
        if one == self.broken:
            raise self.reply(403, {"message": "not permitted"})  # type: ignore[call-arg]
        assert query == {"body-format": "storage"}
        return {**self._page(one), "body": {"storage": {"value": STORAGE}}}

    def _page(self, one: str) -> dict[str, Any]:
        return {
            "id": one,
            "status": "current",
            "title": f"Page <{one}>",
            "spaceId": "77",
            "version": {"number": 4, "createdAt": f"2024-05-0{one}T08:00:00.000Z"},
            "_links": {"webui": f"/spaces/DOC/pages/{one}/Page"},
        }


class TestConfluence(ConnectorSuite):
    secrets = ("s3cret-token",)

    @pytest.fixture(autouse=True)
    def _service(self, serve: Callable[..., Any], reply: type[Exception]) -> None:
        self.site = Site(reply)
        self.service = serve(self.site)

    def make(self, **more: Any) -> Connector:
        return ConfluenceConnector(
            self.service.url, user="ann@example.org", token=TOKEN, allow_private=True, **more
        )

    def change(self) -> str:
        return f"{self.service.url}/wiki/spaces/DOC/pages/{self.site.ids.pop()}/Page"

    def spoil(self) -> str:
        self.site.broken = "2"
        return f"{self.service.url}/wiki/spaces/DOC/pages/2/Page"

    def test_a_page_is_html_with_its_code(self) -> None:
        found = [s for s in self.make(spaces=["DOC"], readers=["staff"]).fetch()]
        (first, *_) = [s for s in found if isinstance(s, Source)]
        text = first.data.decode()
        assert "<h1>Page &lt;1&gt;</h1><p>The trust pays.</p>" in text
        assert "<pre>if (a &lt; b) pay();</pre>" in text
        assert "language" not in text
        assert first.readers == ("staff",)
        assert first.meta["version"] == 4
        assert self.service.asked[1][2]["space-id"] == "77"

    def test_a_space_that_is_not_there_is_told(self) -> None:
        connector: Any = self.make(spaces=["GONE"])
        assert list(connector.fetch()) == []
        assert "'GONE'" in connector.failures[0].reason


def _issue(number: int, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "iid": number,
        "title": f"Issue {number}",
        "body": "It **fails**.",
        "description": "It **fails**.",
        "state": "open",
        "labels": [{"name": "bug"}, {"name": "roof"}],
        "user": {"login": "ann"},
        "author": {"username": "ann"},
        "comments": 1,
        "user_notes_count": 1,
        "created_at": "2024-04-01T00:00:00Z",
        "updated_at": f"2024-05-0{number}T00:00:00Z",
        "html_url": f"https://example.org/o/r/issues/{number}",
        "web_url": f"https://example.org/o/r/issues/{number}",
        **more,
    }


class Tracker:
    """Issues and comments, two to a page, with the ``Link`` header that both services send."""

    def __init__(self, reply: type[Exception]) -> None:
        self.reply = reply
        self.url = ""
        self.issues = [
            _issue(1),
            _issue(2, labels=["bug"]),
            _issue(3, pull_request={"url": "…"}),
            _issue(4, confidential=True),
        ]
        self.broken = 0

    def __call__(self, path: str, query: dict[str, str], body: Any) -> Any:
        last = path.rpartition("/")[2]
        if last in ("comments", "notes"):
            if path.endswith(f"/{self.broken}/{last}"):
                raise self.reply(403, {"message": "rate limit"})  # type: ignore[call-arg]
            said = {"body": "Mended.", "created_at": "2024-04-02T09:00:00Z", "system": False}
            who = {"user": {"login": "bob"}, "author": {"username": "bob"}}
            noted = {"body": "changed labels", "system": True, "author": {"username": "bot"}}
            return [{**said, **who}, *([noted] if last == "notes" else [])]
        since = query.get("since") or query.get("updated_after") or ""
        found = [issue for issue in self.issues if issue["updated_at"] > since]
        start = int(query.get("page", 1)) * 2 - 2
        headers = {}
        if start + 2 < len(found):
            following = f"{self.url}{path}?page={int(query.get('page', 1)) + 1}&since={since}"
            headers["Link"] = f'<{self.url}/first>; rel="first", <{following}>; rel="next"'
        return found[start : start + 2], headers


class TestGithub(ConnectorSuite):
    secrets = ("s3cret-token",)

    @pytest.fixture(autouse=True)
    def _service(self, serve: Callable[..., Any], reply: type[Exception]) -> None:
        self.tracker = Tracker(reply)
        self.service = serve(self.tracker)
        self.tracker.url = self.service.url

    def make(self, **more: Any) -> Connector:
        return GithubConnector("o/r", token=TOKEN, url=self.service.url, allow_private=True, **more)

    def change(self) -> str:
        return str(self.tracker.issues.pop(1)["html_url"])

    def spoil(self) -> str:
        self.tracker.broken = 2
        return "https://example.org/o/r/issues/2"

    def test_an_issue_is_what_was_said(self) -> None:
        (first, *rest) = [s for s in self.make().fetch() if isinstance(s, Source)]
        assert first.data.decode() == (
            "# Issue 1\n\nIt **fails**.\n\n## bob, 2024-04-02\n\nMended.\n"
        )
        assert first.meta["labels"] == "bug, roof"
        assert first.meta["author"] == "ann"
        assert [s.uri[-1] for s in rest] == ["2", "4"]
        assert len(list(self.make(pulls=True).fetch())) == 4
        assert self.service.asked[0][3]["authorization"] == "Bearer s3cret-token"


class TestGitlab(TestGithub):
    def make(self, **more: Any) -> Connector:
        return GitlabConnector(
            "group/project", token=TOKEN, url=self.service.url, allow_private=True, **more
        )

    def test_an_issue_is_what_was_said(self) -> None:
        (first, *rest) = [s for s in self.make().fetch() if isinstance(s, Source)]
        assert first.data.decode() == (
            "# Issue 1\n\nIt **fails**.\n\n## bob, 2024-04-02\n\nMended.\n"
        )
        assert [s.uri[-1] for s in rest] == ["2", "3"]
        assert len(list(self.make(confidential=True).fetch())) == 4
        _, path, _, headers = self.service.asked[0]
        assert path.startswith("/api/v4/projects/group%2Fproject/issues")
        assert headers["private-token"] == "s3cret-token"


@pytest.mark.parametrize("body", [{}, [1], [{"number": 1, "labels": 3}], {"results": [7]}, "x"])
def test_answers_of_another_shape_are_failures(serve: Callable[..., Any], body: Any) -> None:
    service = serve(lambda *_: body)
    connectors: list[Any] = [
        GithubConnector("o/r", url=service.url, allow_private=True),
        GitlabConnector("o/r", url=service.url, allow_private=True),
        ConfluenceConnector(service.url, user="a", token=TOKEN, allow_private=True),
        NotionConnector(TOKEN, url=service.url, delay_s=0, allow_private=True),
    ]
    for connector in connectors:
        assert list(connector.fetch()) == []
        assert connector.failures or body in ([1], {"results": [7]}, [{"number": 1, "labels": 3}])


@pytest.mark.parametrize("name", ["o", "o/r/x", "../r", "o/r?x=1", ""])
def test_a_repository_has_an_owner_and_a_name(name: str) -> None:
    with pytest.raises(InputError):
        GithubConnector(name)


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="known: open"):
        GithubConnector("o/r", state="odd")
    with pytest.raises(InputError):
        GitlabConnector("/")
    with pytest.raises(InputError, match="list of keys"):
        ConfluenceConnector("https://x.example", user="a", token=TOKEN, spaces="DOC")


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ("", ""),
        ('<https://x/2>; rel="next"', "https://x/2"),
        ('<https://x/1>; rel="prev", <https://x/3>; rel="next"', "https://x/3"),
        ('<https://x/9>; rel="last"', ""),
        ("<https://x/2>; rel=next", "https://x/2"),
    ],
)
def test_the_next_page_is_read_from_the_header(header: str, url: str) -> None:
    assert next_link(header) == url
