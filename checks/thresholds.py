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
MAX_NEAR_DUPLICATES = (
    0.02  # of replies, Jaccard 0.7 of word 3-grams; people's dialogue in 16 books: 0 of 2,000 passages
)
# (distinct_3, self_bleu_4) of what people wrote, by number of texts; mean of 5 draws, spread of self-BLEU below 0.03.
# Replies: speeches in the Gutenberg books of the shared data, 50 words each, as long as the replies. Nobody recites
# forecasts there, so shared phrases of fact count against a weather bot: 59 paragraphs of forecasters' own prose
# (area forecast discussions, 62 words) have 0.775 and 0.315 at 50.
HUMAN_REPLIES = {
    25: (0.993, 0.028), 50: (0.986, 0.043), 100: (0.982, 0.054), 250: (0.970, 0.080), 500: (0.952, 0.113),
    1000: (0.925, 0.155), 2000: (0.888, 0.212),
}  # fmt: skip
# Questions: the 316 different user turns of BFCL's weather cases, 15 words on average.
HUMAN_QUESTIONS = {25: (0.932, 0.141), 50: (0.884, 0.194), 100: (0.841, 0.249), 250: (0.772, 0.321)}
MIN_DISTINCT_RATIO = 0.5  # of people's distinct_3 at equal number
MAX_BLEU_RATIO = 1.3  # of people's self_bleu_4

# splits
VALIDATION_SHARE = (0.08, 0.16)  # per stratum; 10-15 % asked for, a little slack for strata of whole works
MAX_HELD_BACK = (
    0.15  # of the dialogues; 0.01 to 0.03 on simulated places, 0.04 to 0.06 where 3 in 10 ask about bulletins
)
MIN_STRATUM = 30  # strata with fewer samples cannot hit a share and are reported, not judged

# adapters
MIN_IMPROVEMENT = 0.0  # validation loss must fall at all; how much is the scorecard's business
MAX_LORA_RANK = 16  # vLLM's default

# mixtures
# of the largest logit. SmolLM2-135M: cat 0, svd 2.2e-7 (7e-6 of logits up to 32); the ways that are refused 1e-2
MAX_IDENTITY_DIFFERENCE = 1e-6
MAX_LOST_SHARE = (
    0.1  # of the weighted sum's squared norm; 0.006 at rank 16 of two trained ones, 0.05 to 0.5 of two random ones
)
