"""How each provider is asked over HTTP, and where its answer holds the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from agents.web.search.results import DOCUMENT_SCHEME

RawResult = tuple[str, str, str]
"""Title, address and snippet as the provider gives them."""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One request of a search.

    Attributes:
        method: `GET` or `POST`.
        path: Path below the endpoint.
        params: Query parameters.
        body: JSON body, None without one.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A search provider.

    Attributes:
        name: Its name in the configuration.
        endpoint: Its address, empty where one must be configured.
        request: Makes the request of a query and a number of results.
        parse: Takes the results out of the answer; raises KeyError, TypeError or ValueError for
            an answer of another shape.
        key_variable: Environment variable that holds its key, empty where it needs none.
        key_header: Header that carries the key.
        key_prefix: What stands before the key in that header.
        max_results: Most results that it gives at once.
    """

    name: str
    endpoint: str
    request: Callable[[str, int], ProviderRequest]
    parse: Callable[[Any], Iterable[RawResult]]
    key_variable: str = ""
    key_header: str = ""
    key_prefix: str = ""
    max_results: int = 50


def _text(item: Mapping[str, Any], name: str) -> str:
    """A text field; providers leave out what they do not have, or send null."""
    value = item.get(name)
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list of results, got {type(value).__name__}")
    return value


def _serper(answer: Any) -> Iterator[RawResult]:
    # A query without results has no `organic`; every answer repeats its parameters.
    answer["searchParameters"]
    for item in _list(answer.get("organic", [])):
        yield _text(item, "title"), _text(item, "link"), _text(item, "snippet")


def _brave(answer: Any) -> Iterator[RawResult]:
    # Without results the whole section is left out.
    answer["type"]
    for item in _list((answer.get("web") or {}).get("results", [])):
        more = [part for part in item.get("extra_snippets") or () if isinstance(part, str)]
        snippet = " ".join([_text(item, "description"), *more])
        yield _text(item, "title"), _text(item, "url"), snippet


def _content(answer: Any) -> Iterator[RawResult]:
    """SearXNG and Tavily."""
    for item in _list(answer["results"]):
        yield _text(item, "title"), _text(item, "url"), _text(item, "content")


def _retriever(answer: Any) -> Iterator[RawResult]:
    """Search-R1: for each query a list of documents, each beside its score where that is asked.

    `contents` holds the title, in quotes, and the text below it.
    """
    (found,) = _list(answer["result"])
    for item in _list(found):
        document = item.get("document", item)
        contents = document["contents"]
        first, _, rest = contents.partition("\n")
        title = _text(document, "title") or first.strip().strip('"')
        text = _text(document, "text") or rest or contents
        name = str(document.get("id", "")) or title
        url = _text(document, "url") or f"{DOCUMENT_SCHEME}:{quote(name, safe='')}"
        yield title, url, text


PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "serper",
            "https://google.serper.dev",
            lambda query, count: ProviderRequest(
                "POST", "/search", body={"q": query, "num": count}
            ),
            _serper,
            key_variable="SERPER_API_KEY",
            key_header="X-API-KEY",
        ),
        Provider(
            "brave",
            "https://api.search.brave.com",
            lambda query, count: ProviderRequest(
                "GET", "/res/v1/web/search", {"q": query, "count": str(count)}
            ),
            _brave,
            key_variable="BRAVE_API_KEY",
            key_header="X-Subscription-Token",
            max_results=20,
        ),
        Provider(
            "tavily",
            "https://api.tavily.com",
            lambda query, count: ProviderRequest(
                "POST", "/search", body={"query": query, "max_results": count}
            ),
            _content,
            key_variable="TAVILY_API_KEY",
            key_header="Authorization",
            key_prefix="Bearer ",
            max_results=20,
        ),
        Provider(
            "searxng",
            "",
            lambda query, _: ProviderRequest("GET", "/search", {"q": query, "format": "json"}),
            _content,
        ),
        Provider(
            "retriever",
            "",
            lambda query, count: ProviderRequest(
                "POST", "/retrieve", body={"queries": [query], "topk": count, "return_scores": True}
            ),
            _retriever,
        ),
    )
}
"""Every provider over HTTP, by name."""
