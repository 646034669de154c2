"""Whether test questions are among the training questions, in these words or in others.

- `overlap.py` finds pairs: the same text, the same words, the same chain of facts, nearly the same
  text. `report.py` counts them by benchmark.
- `shingles.py` and `minhash.py` find texts that are nearly the same among very many.

Our own MinHash, and not `datasketch`: vectorised over all texts at once it is the faster one, and
it spares a dependency; `benchmarks/contamination.py` measures it.
"""
