"""Crawling: from the addresses of a few roots to the graph of their site's pages.

    roots ──> frontier ──> fetcher ──> judged ──> Visit ──> record ──> page graph
                 └───────────── links, scored ◄──────┘

| Module | Concept |
|---|---|
| `config` | where a crawl begins, how far it goes, what it keeps |
| `addresses`, `scope`, `traps` | one form for an address; which site it is of; endless spaces |
| `scoring` | which link first |
| `frontier` | what is known, queued and counted, on disk |
| `languages`, `duplicates` | which pages are not wanted |
| `visits` | the record of a crawl, and every reason for which an address is not kept |
| `local_web` | pages of the local web by their lasting addresses |
| `turns` | whose turn it is among hosts |
| `run`, `crawler`, `judging` | a crawl from its configuration; the loop; what becomes of a page |
| `report` | how a crawl ended |
| `graph`, `paths` | the page graph; pairs, paths and hubs in it |
"""
