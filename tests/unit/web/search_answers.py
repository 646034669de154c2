"""Answers of search providers, in the shape in which they send them; texts are made up."""

from __future__ import annotations

from typing import Any

SERPER: dict[str, Any] = {
    "searchParameters": {"q": "lyon country", "type": "search", "num": 10, "engine": "google"},
    "knowledgeGraph": {"title": "Lyon", "type": "City in France"},
    "organic": [
        {
            "title": "Lyon - Wikipedia",
            "link": "https://en.wikipedia.org/wiki/Lyon?utm_source=serp#History",
            "snippet": "Lyon is the third-largest city of France ...",
            "sitelinks": [{"title": "History", "link": "https://en.wikipedia.org/wiki/x"}],
            "position": 1,
        },
        {
            "title": "Lyon, France",
            "link": "https://www.britannica.com/place/Lyon-France",
            "snippet": "Lyon, capital of the Rhône département.",
            "date": "3 days ago",
            "position": 2,
        },
        {"title": "Lyon - Wikipedia", "link": "http://en.wikipedia.org/wiki/Lyon", "position": 3},
    ],
    "peopleAlsoAsk": [{"question": "Is Lyon in France?", "snippet": "Yes", "link": "https://a.b/"}],
    "relatedSearches": [{"query": "lyon map"}],
    "credits": 1,
}

BRAVE: dict[str, Any] = {
    "type": "search",
    "query": {"original": "lyon country", "show_strict_warning": False},
    "mixed": {"type": "mixed", "main": [{"type": "web", "index": 0, "all": False}]},
    "web": {
        "type": "search",
        "results": [
            {
                "title": "Lyon &amp; its country",
                "url": "https://example.org/lyon",
                "is_source_local": False,
                "description": "<strong>Lyon</strong> lies in France&#x27;s south-east.",
                "extra_snippets": ["It has 522,250 inhabitants."],
                "profile": {"name": "Example", "url": "https://example.org/"},
                "language": "en",
            }
        ],
        "family_friendly": True,
    },
}

TAVILY: dict[str, Any] = {
    "query": "lyon country",
    "follow_up_questions": None,
    "answer": None,
    "images": [],
    "results": [
        {
            "title": "Lyon",
            "url": "https://example.org/lyon",
            "content": "Lyon is in France.\nIt is old.",
            "score": 0.91,
            "raw_content": None,
        }
    ],
    "response_time": 1.1,
}

SEARXNG: dict[str, Any] = {
    "query": "lyon country",
    "number_of_results": 0,
    "results": [
        {
            "url": "https://example.org/lyon",
            "title": "Lyon",
            "content": "Lyon is in France.",
            "engine": "duckduckgo",
            "parsed_url": ["https", "example.org", "/lyon", "", "", ""],
            "engines": ["duckduckgo", "brave"],
            "positions": [1, 2],
            "score": 4.0,
            "category": "general",
        },
        {"url": "https://example.org/", "title": "Home", "content": None, "engine": "brave"},
    ],
    "answers": [],
    "suggestions": ["lyon map"],
    "unresponsive_engines": [["google", "timeout"]],
}

RETRIEVER: dict[str, Any] = {
    "result": [
        [
            {
                "document": {"id": "7201", "contents": '"Lyon"\nLyon is a city in France.'},
                "score": 0.83,
            },
            {
                "document": {"id": "7202", "contents": '"Lyon"\nIts population is 522,250.'},
                "score": 0.71,
            },
        ]
    ]
}
