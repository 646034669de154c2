"""Benchmark questions from elsewhere: files of one's own, published files, and the Hub.

- `load.py` is the way in: `read_questions` takes a path, a known name or `hub:…`.
- `known.py` is the table of known sets, `fetch.py` brings one here.
- `rows.py` reads JSONL, JSON, CSV, TSV and Parquet; `shapes.py` knows whose columns mean what,
  `browsecomp.py` decrypts, `names.py` says how a benchmark is called.
- `flaws.py` finds what is wrong with a set: it reports, and drops nothing.
"""
