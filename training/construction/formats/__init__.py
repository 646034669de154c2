"""Trajectories of others, read and written: one neutral conversation behind every form.

Map: `conversation` (what all forms share), `turn_text` (tags and texts), `problems` (what is wrong
with a row, what a form cannot hold), `messages` (roles in order), `columns` (what stands beside
them), one module a form (`webdancer`, `trl`, `llama_factory`, `table`), `files` (files of any
form), `detecting` (which form one has), `losses` (what a form lost), `tokens` (a conversation as
this project's trajectory), `rollouts` (a trajectory as a conversation), `card` and `hub`
(publishing).
"""
