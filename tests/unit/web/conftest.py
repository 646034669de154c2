"""A small web made by hand: a few entities whose facts and namesakes are known."""

import pytest

from agents.web.articles import Titles, read_leads
from agents.web.facts.names import page_url
from agents.web.graph import Entity, Fact, FactGraph
from agents.web.graph_file import write_graph
from agents.web.index import build_index
from agents.web.linking import link_by_titles
from agents.web.local import LocalWeb
from agents.web.page_store import write_pages
from agents.web.pages import fact_pages

LEADS = """{
 "Lyon": {"title": "Lyon", "extract": "Lyon is a city in France. It lies where the Rhône meets the
 Saône, north of Marseille."},
 "Currency": {"title": "Currency", "extract": "A currency is a form of money."},
 "France": {"title": "France", "extract": "France is a country. Its largest city is Paris."},
 "Mona Lisa": {"title": "Mona Lisa", "extract": "The Mona Lisa was painted by Leonardo da Vinci."}
}""".replace("\n ", " ")


def entity(entity_id: str, title: str, *aliases: str) -> Entity:
    kind = entity_id.partition(":")[0]
    full = f"{title} ({kind})"
    return Entity(entity_id, kind, full, page_url(full), aliases)


@pytest.fixture(scope="session")
def graph() -> FactGraph:
    entities = [
        entity("continent:EU", "Europe"),
        entity("country:FR", "France", "FRA"),
        entity("country:US", "United States", "USA"),
        entity("currency:EUR", "Euro", "EUR"),
        entity("city:1", "Lyon"),
        entity("city:2", "Lyon, United States"),
        entity("city:3", "Paris"),
        entity("city:4", "Zürich"),
        entity("airport:LYS", "Lyon Saint-Exupery Airport", "LYS"),
        entity("element:Po", "Polonium", "Po"),
    ]
    facts = (
        Fact("country:FR", "continent", "Europe", "continent:EU"),
        Fact("country:FR", "currency", "Euro", "currency:EUR"),
        Fact("currency:EUR", "used_in", "France", "country:FR"),
        Fact("country:FR", "internet_domain", ".fr"),
        Fact("country:FR", "population", "66,987,244"),
        Fact("country:FR", "capital", "Paris", "city:3"),
        Fact("city:3", "country", "France", "country:FR"),
        Fact("city:3", "capital_of", "France", "country:FR"),
        Fact("city:1", "population", "520,774"),
        Fact("city:1", "country", "France", "country:FR"),
        Fact("city:1", "airport", "Lyon Saint-Exupery Airport", "airport:LYS"),
        Fact("city:2", "country", "United States", "country:US"),
        Fact("city:2", "population", "17,000"),
        Fact("airport:LYS", "city", "Lyon", "city:1"),
        Fact("airport:LYS", "iata_code", "LYS"),
        Fact("element:Po", "symbol", "Po"),
        Fact("element:Po", "discovery_year", "1898"),
        Fact("element:Po", "discovery_country", "France", "country:FR"),
    )
    return FactGraph({e.entity_id: e for e in entities}, facts)


@pytest.fixture(scope="session")
def web(graph, tmp_path_factory) -> LocalWeb:
    folder = tmp_path_factory.mktemp("web")
    (folder / "leads.json").write_text(LEADS, encoding="utf-8")
    pages = fact_pages(graph)
    pages = link_by_titles([*pages, *read_leads(folder / "leads.json", Titles(pages))])
    write_graph(folder / "graph.json", graph)
    write_pages(folder / "pages.sqlite", pages)
    build_index(folder, pages)
    return LocalWeb(folder, "0" * 64, snippet_words=30)
