"""What becomes of one page and of the links on it, or of an address that gave none."""

from __future__ import annotations

from agents.fetching.outcomes import (
    FetchedPage,
    KindRefused,
    PageMissing,
    PageProblem,
    PageRefused,
    RobotsRefused,
)
from agents.fetching.outline import Outline
from training.construction.crawl.addresses import canonical
from training.construction.crawl.config import CrawlConfig
from training.construction.crawl.duplicates import KnownTexts, sketch_of, text_digest
from training.construction.crawl.frontier import Frontier, Queued
from training.construction.crawl.languages import language_of
from training.construction.crawl.local_web import LocalPages
from training.construction.crawl.scoring import link_score, place_rank
from training.construction.crawl.visits import FoundLink, Reason, Visit

_LINKS_FOLLOWED = frozenset({Reason.KEPT, Reason.NO_TEXT, Reason.NOINDEX})
# These say nothing about the address that is linked to.
_OF_THE_PAGE = frozenset({Reason.MALFORMED, Reason.NOFOLLOW, Reason.TOO_MANY_LINKS})


class RedirectCircleError(Exception):
    """Addresses that are one to us lead to each other."""


class PageJudge:
    """Judges the pages of one crawl.

    Args:
        config: What is kept.
        known: Texts that are kept already.
        frontier: Where links go.
        local: Lasting addresses of the local web.
    """

    def __init__(
        self, config: CrawlConfig, known: KnownTexts, frontier: Frontier, local: LocalPages
    ) -> None:
        self._config = config
        self._known = known
        self._frontier = frontier
        self._local = local

    def judge(self, queued: Queued, page: FetchedPage) -> Visit:
        """What becomes of a fetched page; its links are admitted by `follow`."""
        reason, detail, leads_to, digest, sketch = Reason.KEPT, "", "", "", b""
        language = language_of(page.text, page.outline.language if page.outline else "")
        wanted = self._config.languages
        num_words = len(page.text.split())
        if page.outline is None:
            reason, detail = Reason.NOT_HTML, "it is read as text or PDF, expected a page of HTML"
        elif page.outline.noindex:
            reason = Reason.NOINDEX
        elif num_words < self._config.min_words:
            reason, detail = Reason.NO_TEXT, f"{num_words} words"
        elif wanted and language and language not in wanted:
            reason, detail = Reason.OTHER_LANGUAGE, language
        else:
            digest, sketch = text_digest(page.text), sketch_of(page.text)
            leads_to = self._known.same(digest)
            if leads_to:
                reason = Reason.DUPLICATE
            else:
                leads_to, similarity = self._known.near(sketch)
                if leads_to:
                    reason, detail = Reason.NEAR_DUPLICATE, f"similarity {similarity:.2f}"
        followed = page.outline if reason in _LINKS_FOLLOWED else None
        return Visit(
            url=queued.url,
            depth=queued.depth,
            reason=reason,
            detail=detail,
            leads_to=leads_to,
            title=page.title,
            text=page.text if reason == Reason.KEPT else "",
            text_digest=digest,
            sketch=sketch if reason == Reason.KEPT else b"",
            language=language,
            num_bytes=page.num_bytes,
            score=queued.score,
            num_redirects=queued.num_redirects,
            links=self._links(queued.url, followed) if followed else (),
            num_unread_links=followed.num_links - len(followed.links) if followed else 0,
        )

    def follow(self, visit: Visit) -> tuple[FoundLink, ...]:
        """Gives a visit's links to the frontier, and returns them with what became of each."""
        shares: dict[str, float] = {}
        links = []
        for position, link in enumerate(visit.links):
            if link.reason in _OF_THE_PAGE:
                if link.reason == Reason.MALFORMED:
                    self._frontier.refuse(link.url, link.reason)
                links.append(link)
                continue
            folder = link.url.rpartition("/")[0]
            if folder not in shares:
                shares[folder] = self._frontier.kept_share(link.url)
            score = link_score(
                link.url,
                visit.url,
                link.anchor,
                link.context,
                link.place,
                position,
                visit.depth,
                shares[folder],
                self._config.focus,
            )
            reason = self._frontier.admit(link.url, visit.depth + 1, score)
            links.append(FoundLink(link.url, link.anchor, link.context, link.place, reason))
        return tuple(links)

    def _links(self, page_url: str, outline: Outline) -> tuple[FoundLink, ...]:
        """The links of a page, each address once: where its place speaks most for it."""
        found: dict[str, FoundLink] = {}
        for link in outline.links:
            reason = Reason.QUEUED
            try:
                url = canonical(self._local.lasting(link.url))
            except ValueError:
                url, reason = link.url, Reason.MALFORMED
            if url == page_url:
                continue
            if reason == Reason.QUEUED and (link.nofollow or outline.nofollow):
                reason = Reason.NOFOLLOW
            known = found.get(url)
            if known is None and len(found) >= self._config.max_links:
                reason = Reason.TOO_MANY_LINKS
            better = known is not None and (
                (reason == Reason.QUEUED, place_rank(link.place))
                > (known.reason == Reason.QUEUED, place_rank(known.place))
            )
            if known is None or better:
                found[url] = FoundLink(url, link.anchor, link.context, link.place, reason)
        return tuple(found.values())


def failed_visit(queued: Queued, reason: Reason, why: Exception | str) -> Visit:
    """The visit of an address that gave no page."""
    return Visit(
        queued.url,
        queued.depth,
        reason,
        detail=str(why)[:300],
        score=queued.score,
        num_redirects=queued.num_redirects,
    )


def reason_of(error: Exception) -> Reason:
    """What becomes of an address whose page could not be fetched."""
    kinds: list[tuple[type[Exception], Reason]] = [
        (RobotsRefused, Reason.ROBOTS),
        (KindRefused, Reason.NOT_HTML),
        (PageRefused, Reason.REFUSED),
        (PageMissing, Reason.MISSING),
        (PageProblem, Reason.UNREADABLE),
        (RedirectCircleError, Reason.REDIRECT_LOOP),
    ]
    return next((reason for kind, reason in kinds if isinstance(error, kind)), Reason.FAILED)
