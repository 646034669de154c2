"""Judges of answers: by rule, or a model behind a chat API.

`config` says which one; `marks` is what all judges take and give; `opening` opens one. `rules`
needs no key. `api` asks a model with one of the `prompts`, after `certain` has dealt with what
needs no model; `asking` is one question to it. `agreement` compares judges with each other and with
people, on the answers of a file that `labelled` reads. docs/judge.md describes them.
"""
