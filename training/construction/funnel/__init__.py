"""The funnel from sampled trajectories to SFT data: validity, correctness, quality.

WebDancer (arXiv 2505.22648, stage 2) drops what breaks the ReAct form, then what a judge calls
wrong, then what is hallucinated, repetitive, redundant, off its goal or illogical. Here rules look
first, a model is asked only where rules cannot tell, and "cannot tell" is an outcome of its own.

Map: `verdicts` (findings and verdicts), `config`, one module a check (`validity`, `correctness`
with `stated`, `repetition`, `redundancy`, `goal`, `grounding`, `logic`), what they share
(`wording`, `question_kind`, `answer_facts`), `quality_judge` (a model where rules cannot tell),
`run` (all together), `ablation`, `report` (table and chart).
"""
