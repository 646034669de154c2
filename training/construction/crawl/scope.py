"""Which addresses belong to the site of a root."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Literal

from tld import get_tld

from training.construction.crawl.addresses import host_of, path_of

Rule = Literal["path", "host", "domain"]


class Scope:
    """The sites of some roots.

    Args:
        roots: Canonical addresses.
        rule: `path`: what lies in the root's folder or below it; `host`: the root's host and port,
            with or without `www.`; `domain`: all hosts of its registrable domain by the Public
            Suffix List that is shipped with `tld` (an address or a name of no public suffix is its
            own domain).
    """

    def __init__(self, roots: Iterable[str], rule: Rule) -> None:
        self._rule = rule
        self._sites = {self._site(root) for root in roots}
        self._folders = {(self._site(root), _folder(root)) for root in roots}

    def holds(self, url: str) -> bool:
        """Whether a canonical address belongs to one of the roots' sites."""
        site = self._site(url)
        if self._rule != "path":
            return site in self._sites
        path = path_of(url)
        return any(site == own and path.startswith(folder) for own, folder in self._folders)

    def _site(self, url: str) -> str:
        host = host_of(url).removeprefix("www.")
        return registrable_domain(host) if self._rule == "domain" else host


def registrable_domain(host: str) -> str:
    """The domain that somebody has registered: `a.b.example.co.uk` gives `example.co.uk`."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        pass  # A name, then.
    else:
        return host
    found = get_tld(name, as_object=True, fail_silently=True, fix_protocol=True)
    return str(getattr(found, "fld", None) or host)


def _folder(url: str) -> str:
    return path_of(url).rpartition("/")[0] + "/"
