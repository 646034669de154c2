"""Local search over a million passages of real text: speed, size and quality, beside other engines.

Run as `python -m benchmarks.search [--json]`; needs `--corpus` (Wikispeedia: JSONL of `title,
text`, `.xz`) and `--questions` (Parquet of `prompt` and `reward_model`, as published with
DeepResearcher), and, for its row, bm25s (extra `dev`). The articles are cut into windows of 100
words, one every 14 words, and every engine indexes the same windows with the same search terms:

- `product`: what `agents/web/index.py` does, with the pages read from disk and the snippet chosen.
- `tantivy`: BM25 over title and text of the same index, addresses only.
- `bm25s`: BM25 over title and text, addresses only.

The queries are questions of the seven benchmarks as they stand, each asked once, one at a time;
recall@5 is the share for which one of the first five passages holds a right answer.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import lzma
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from agents.web.analysis import split_sentences
from agents.web.facts.names import WIKI_ROOT
from agents.web.local import LocalWeb
from agents.web.page_store import write_pages
from agents.web.pages import Page
from benchmarks.search_index import build, open_engine, rss_mb
from evaluation.scoring import normalise_squad

WINDOW_WORDS, STRIDE_WORDS = 100, 14
MAX_GOLD_WORDS = 10
K = 5
SEED = 20
SNIPPET_WORDS = 30
NUM_WARM_UP = 20
LIMITS = {"p50_ms": 5.0, "p99_ms": 30.0, "gib": 2.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("wikispeedia.jsonl.xz"))
    parser.add_argument("--questions", type=Path, default=Path("deepresearcher_test.parquet"))
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--engines", nargs="+", default=["product", "tantivy", "bm25s"])
    parser.add_argument("--folder", type=Path, help="where indexes are kept for a next run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for path in (options.corpus, options.questions):
        if not path.exists():
            sys.exit(f"{path} is missing: name it by --corpus or --questions")
    if options.engine:
        print(json.dumps(measure(options.engine, options)))
        return
    if options.folder:
        rows = run(options, options.folder)
    else:
        with tempfile.TemporaryDirectory() as name:
            rows = run(options, Path(name))
    if options.json:
        document = {"passages": options.passages, "limits": LIMITS, "engines": rows}
        print(json.dumps(document, indent=1))


def run(options: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    engines = list(options.engines)
    if "bm25s" in engines and importlib.util.find_spec("bm25s") is None:
        print("bm25s is not installed: its row is left out", file=sys.stderr)
        engines.remove("bm25s")
    columns = ("build_s", "gib", "open_s", "rss_mb", "p50_ms", "p99_ms")
    columns += ("cpu_p50_ms", "cpu_p99_ms", "recall@5")
    out = sys.stderr if options.json else sys.stdout
    print(f"{'engine':<10}" + "".join(f"{column:>11}" for column in columns), file=out)
    rows = {}
    for engine in engines:
        command = [sys.executable, "-m", "benchmarks.search", "--engine", engine]
        command += ["--folder", str(folder), "--passages", str(options.passages)]
        command += ["--corpus", str(options.corpus), "--questions", str(options.questions)]
        command += ["--queries", str(options.queries)]
        made = json.loads(
            # A process of its own to build and one to ask: nothing is counted that others loaded.
            subprocess.run([*command, "--json"], check=True, stdout=subprocess.PIPE).stdout
        )
        rows[engine] = made | json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        )
        cells = "".join(f"{rows[engine].get(column, 0.0):>11.3f}" for column in columns)
        print(f"{engine:<10}{cells}", file=out, flush=True)
    return rows


def measure(engine: str, options: argparse.Namespace) -> dict[str, float]:
    """Builds with `--json`, else asks."""
    web_folder = options.folder / f"web-{options.passages}"
    index_folder = options.folder / f"bm25s-{options.passages}" if engine == "bm25s" else web_folder
    if options.json:
        return ensure_built(engine, options, web_folder, index_folder)
    web = LocalWeb(web_folder, "0" * 64, SNIPPET_WORDS)
    before, started = rss_mb(), time.perf_counter()
    search = open_engine(engine, index_folder, web)
    row = {"open_s": time.perf_counter() - started}
    asked = questions(options.questions, options.queries + NUM_WARM_UP)
    for query, _ in asked[:NUM_WARM_UP]:
        search(query, K)
    times, cpu_times, found = [], [], []
    for query, _ in asked[NUM_WARM_UP:]:
        started, cpu_started = time.perf_counter(), time.process_time()
        hits = search(query, K)
        times.append((time.perf_counter() - started) * 1e3)
        # What is left of a busy machine's noise: the processor time of the same queries.
        cpu_times.append((time.process_time() - cpu_started) * 1e3)
        found.append([url for url, _ in hits])
    row["rss_mb"] = rss_mb() - before
    right = 0
    for urls, (_, golds) in zip(found, asked[NUM_WARM_UP:], strict=True):
        texts = [f" {normalise_squad(web.pages[url].text)} " for url in urls]
        right += any(f" {gold} " in text for gold in golds for text in texts)
    for name, values in (("", times), ("cpu_", cpu_times)):
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        row |= {f"{name}p50_ms": cuts[49], f"{name}p99_ms": cuts[98]}
    return row | {"recall@5": right / len(times), "num_queries": len(times)}


def ensure_built(
    engine: str, options: argparse.Namespace, web_folder: Path, index_folder: Path
) -> dict[str, float]:
    note = index_folder / "built.json"
    if not note.exists():
        index_folder.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        if engine == "bm25s":
            build("bm25s", index_folder, passages(options.corpus, options.passages))
        else:
            write_pages(index_folder / "pages.sqlite", passages(options.corpus, options.passages))
            build("product", index_folder, passages(options.corpus, options.passages))
        note.write_text(json.dumps({"build_s": time.perf_counter() - started}))
    size = sum(path.stat().st_size for path in index_folder.rglob("*") if path.is_file())
    made: dict[str, Any] = json.loads(note.read_text())
    return {**made, "gib": size / 2**30}


def passages(corpus: Path, count: int) -> Iterator[Page]:
    """Windows over the words of each article; the ends of sentences stay ends of lines."""
    left = count
    with lzma.open(corpus, "rt", encoding="utf-8") as lines:
        for line in lines:
            article = json.loads(line)
            words: list[str] = []
            for sentence in split_sentences(article["text"].replace("\n", " ")):
                words += [f"{word} " for word in sentence.split()]
                words[-1] = f"{words[-1][:-1]}\n"
            last = max(1, len(words) - WINDOW_WORDS + STRIDE_WORDS)
            for start in range(0, last, STRIDE_WORDS):
                if left == 0:
                    return
                left -= 1
                url = f"{WIKI_ROOT}{article['id']}~{start}"
                text = "".join(words[start : start + WINDOW_WORDS]).rstrip()
                yield Page(url, article["title"], "page", text, prominence=0.3)


def questions(path: Path, count: int) -> list[tuple[str, list[str]]]:
    """A fixed sample: each question with its right answers, normalised; no yes or no, no essays."""
    usable = {}
    for row in pq.read_table(path, columns=["prompt", "reward_model"]).to_pylist():
        golds = row["reward_model"]["ground_truth"].split("<|answer_split|>")
        golds = [normalise_squad(gold) for gold in golds]
        golds = [
            g for g in golds if g not in ("", "yes", "no") and len(g.split()) <= MAX_GOLD_WORDS
        ]
        if golds:
            usable[row["prompt"][0]["content"]] = golds
    chosen = random.Random(SEED).sample(sorted(usable), min(count, len(usable)))
    return [(query, usable[query]) for query in chosen]


if __name__ == "__main__":
    main()
