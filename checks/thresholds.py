"""Every bound that a check holds against, beside what chose it. A check reports its value and this bound."""

from __future__ import annotations

# corpora
MIN_BOOK_CHARACTERS = 5_000  # the shortest complete book of the pinned catalogue has 18,900 characters
MAX_ODD_CHARACTERS = 0.001  # share of replacement and control characters; the worst real file, mixed 8-bit, has 0.00002
MAX_REJECTED_ROWS = 0.2  # of the rows of one unit; the sample's worst unit, with a planted broken line, has 0.09

# dedupe
EDGES_VERIFIED = 2_000  # pairs recomputed exactly per check: all of the sample's, 1.5 s on real books

# dialogues
MIN_DISTINCT_OPENINGS = 0.5  # share of replies that open in their own six words
MAX_REJECTED_DIALOGUES = 0.1  # the grammar's own faults; a language model may be given more room
MIN_DIALOGUES = 1_000  # the brief's floor of 1,000 style transfers and 500 tool calls, less what screening takes; warns

# splits
VALIDATION_SHARE = (0.08, 0.16)  # per stratum; 10-15 % asked for, a little slack for strata of whole works
MIN_STRATUM = 30  # strata with fewer samples cannot hit a share and are reported, not judged

# adapters
MIN_IMPROVEMENT = 0.0  # validation loss must fall at all; how much is the scorecard's business
MAX_LORA_RANK = 16  # vLLM's default
