"""What makes a text a joke fit to learn from: what is mended in it, why it is left out, its kind. No file is read here."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from twainbot.corpora.normalize import tidy

MIN_LETTERS = 12  # "Dam." is a punchline, not a joke
MAX_CHARACTERS = 2000  # longer is a story; it belongs in a corpus of works
MEND_UPTO = 5 * MAX_CHARACTERS  # beyond, no mending makes a joke of it
MAX_CAPITALS = 0.6  # of the letters; a shouted punchline in a joke of two lines stays under it
CAPITALS_FROM = 20  # letters: below, names and acronyms decide
REPEATED_LETTERS = 10  # one letter in a row; at 7 a real collection lost a joke whose point is its drawl
REPEATED_MARKS = 6  # "!!!!!!"; rows of dots, dashes and blanks to fill in are layout
STORY_WORDS = 60
ANSWER_WORDS = 40  # after a riddle's question; more is a story that opens with one
FOREIGN_WORDS = 10  # without one English function word in that many, a text is not English

_MARKUP = re.compile(r"</?(?:p|br|a|div|b|i|img|span)\b[^>]*>|https?://|www\.", re.IGNORECASE)
_GONE = re.compile(r"^\W*(?:deleted|removed|null|none|n/?a|nan)\W*$", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,5});", re.IGNORECASE)
_VIA = re.compile(
    r"(?<!\s)\s*[(\[](?:via|source|credits?(?: to)?|h/t|stolen from)\b[^()\[\]]{0,80}[)\]]\s*$", re.IGNORECASE
)
# "Edit" with a colon, alone in its line or after a sentence's end, begins what a forum's poster said later.
_EDIT = re.compile(
    r"(?:(?:^|\n)|(?<=[.!?\"”')]))[ \t*_\[(]{0,8}(?:edit|eta)\s?\d*[*_]*\s*[:=–—-].*\Z", re.IGNORECASE | re.DOTALL
)
_SCORE = re.compile(
    r"^\s*[(\[]?(?:score|points?|upvotes?|karma)\s*[:=]\s*\d[\d,.]*k?[)\]]?(?:\s+|$)"
    r"|(?:(?<!\s)\s*[(\[]|\n)\d[\d,.]{0,9}k? (?:points?|upvotes?)[)\]]?\s*$",  # "He won by 3 points" is no mark
    re.IGNORECASE,
)
_FORUM = re.compile(
    r"(?<![\w/])/?[ru]/\w{3,}|\b(?:upvotes?|downvoted?|karma whor\w+|cake day|xpost|cross-?post)\b", re.IGNORECASE
)
_LETTER_RUN = re.compile(rf"([^\W\d_])\1{{{REPEATED_LETTERS - 1},}}", re.IGNORECASE)
_MARK_RUN = re.compile(rf"([!?$#@%&])\1{{{REPEATED_MARKS - 1},}}")
_RIDDLE = re.compile(
    r"^(?:q\s*[:.)-]\s*|why (?:did|do|does|are|is|was|were|can't|don't|couldn't|didn't)\b"
    r"|how (?:do you|does|did|many|can you)\b"
    r"|what (?:do you (?:call|get)|did|does|do|is|was|kind|has)\b|what's\b|where (?:do|does|did)\b|who\b"
    r"|when (?:is|does|do)\b|did you hear\b|have you heard\b)",
    re.IGNORECASE,
)
# Only these make a bare question a riddle without its answer: other questions may be the whole joke.
_UNANSWERED = re.compile(
    r"^(?:q\s*[:.)-]|why did (?:the|a)\b|what do you (?:call|get)\b|what did (?:the|one)\b[^?]*\bsay\b|how many\b[^?]*\btake\b"
    r"|what(?:'s| is) the difference between\b|knock[ ,-]*knock\W*$)",
    re.IGNORECASE,
)
_ASKED_ANSWERED = re.compile(
    r"^q(?:uestion)?\s*[:.)-]\s*(.+?)\s+a(?:nswer)?\s*[:.)-]\s*(.+)$", re.IGNORECASE | re.DOTALL
)
# A collection that dropped its line breaks: "store.The", and with quotes "store.""But" or "son?"Father".
_GLUED = re.compile(r"(?<=[a-z][.!?])(?=[A-Z][a-z])|(?<=[a-z][.!?])\"\"?(?=[A-Z])")
GLUED_FROM = 40  # words: in a short text such a dot may be a name's ("System.Out")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_LATIN = re.compile(r"[a-zA-Z\u00c0-\u024f]")
_ENGLISH = """
    the a an and of to is was were are i you he she it we they my your his her their our this that these those for with not
    what why how who when where did do does have has had be been but if or at by from as so there just can will would could
    no yes all out up one two more than into about which never always
"""
# The small words of German, French, Spanish, Italian, Portuguese and Dutch that are no English words.
_FOREIGN = """
    der das und ist nicht ein eine einen ich sie wir mit auf dem für von zu wie wenn auch noch aber
    le les un une des du et est dans que qui pas sur avec il elle nous vous ce cette mais
    el los las en por con para una del su se lo como más pero al
    di che non sono della il gli nel anche ma
    os um uma não com mais mas ao seu sua
    het een van niet ik je zijn maar ook dat naar
"""
_ENGLISH_WORDS = frozenset(_ENGLISH.split())
_FOREIGN_WORDS = frozenset(_FOREIGN.split())


@dataclass(frozen=True)
class Joke:
    """A joke's whole text, and set-up and punchline where it has two parts ("" and "" where it has not)."""

    text: str
    setup: str = ""
    punchline: str = ""


def mend(text: str, counts: dict[str, int]) -> str:
    """The text as it was told: entities decoded, forum edits, scores and "(via ...)" gone. `counts` gains what was done."""
    if not text or len(text) > MEND_UPTO:
        return tidy(text)
    for _ in range(2):  # "&amp;#39;" was encoded twice
        found = len(_ENTITY.findall(text)) if "&" in text else 0
        if found:
            counts["html_entities"] = counts.get("html_entities", 0) + found
            text = html.unescape(text)
    for name, pattern in (("forum_edit", _EDIT), ("score_mark", _SCORE), ("source_note", _VIA)):
        text, times = pattern.subn("", text)
        if times:
            counts[name] = counts.get(name, 0) + times
    if len(text.split()) >= GLUED_FROM and _GLUED.search(text):
        text, times = _unglued(text)
        counts["glued_sentences"] = counts.get("glued_sentences", 0) + times
    return tidy(text.strip()).strip()


def _unglued(text: str) -> tuple[str, int]:
    """Sentences apart by a space again, and how many were not. A quote mark closes where an odd number stands before it."""
    parts: list[str] = []
    at = quotes = times = 0
    for match in _GLUED.finditer(text):
        quotes += text.count('"', at, match.start())
        closing = match[0] == '"' and quotes % 2
        parts += [text[at : match.start()], '" "' if match[0] == '""' else '" ' if closing else f" {match[0]}"]
        quotes += len(match[0])
        at = match.end()
        times += 1
    return "".join([*parts, text[at:]]), times


def reject_reason(text: str) -> str | None:
    """Why a text is no usable joke: empty, removed, too_short, too_long, markup, mostly_symbols, undecodable, or None."""
    letters = sum(map(str.isalpha, text))
    rules = (
        ("empty", not text),
        ("removed", bool(_GONE.match(text))),
        ("too_short", letters < MIN_LETTERS),
        ("too_long", len(text) > MAX_CHARACTERS),
        ("markup", bool(_MARKUP.search(text))),
        ("mostly_symbols", letters < 0.5 * len(text.replace(" ", ""))),
        ("undecodable", "�" in text),
    )
    return next((reason for reason, holds in rules if holds), None)


def part_reason(joke: Joke) -> str | None:
    """Why a joke's parts do not make one: "no_answer", "no_setup", "near_empty_punchline", or None.

    A lone text is an unanswered riddle only where its opening promises an answer; "Can a teacher give a homeless man
    homework?" is whole.
    """
    if joke.punchline and not joke.setup:
        return "no_setup"
    if joke.setup and not joke.punchline:
        return "no_answer"
    if joke.setup and (not any(map(str.isalnum, joke.punchline)) or _GONE.match(joke.punchline)):
        return "near_empty_punchline"
    alone = not joke.setup and joke.text.count("?") <= 1 and joke.text.endswith(("?", "knock", "knock."))
    return "no_answer" if alone and _UNANSWERED.match(joke.text) else None


def quality_reason(text: str) -> str | None:
    """Why a whole joke is still unfit: too_many_capitals, repeated_characters, forum_reference, non_english, or None."""
    rules = (
        ("too_many_capitals", capital_share(text) > MAX_CAPITALS),
        ("repeated_characters", bool(_LETTER_RUN.search(text) or _MARK_RUN.search(text))),
        ("forum_reference", bool(_FORUM.search(text))),
        ("non_english", not is_english(text)),
    )
    return next((reason for reason, holds in rules if holds), None)


def capital_share(text: str) -> float:
    """Capitals among the letters, 0 for a text of under 20 of them."""
    letters = sum(map(str.isalpha, text))
    return sum(map(str.isupper, text)) / letters if letters >= CAPITALS_FROM else 0.0


def is_english(text: str) -> bool:
    """Whether the small words are English ones. A quoted foreign phrase passes; a text in another script does not."""
    if not text.isascii():
        letters = [letter for letter in text if letter.isalpha()]
        if sum(1 for letter in letters if not _LATIN.match(letter)) > 0.3 * len(letters):
            return False
    words = _WORD.findall(text.replace("’", "'").casefold())
    english = len([word for word in words if word in _ENGLISH_WORDS or "'" in word])
    foreign = len([word for word in words if word in _FOREIGN_WORDS])
    if foreign >= 2 and foreign > english:
        return False
    return english > 0 or len(words) < FOREIGN_WORDS


def split_riddle(text: str) -> Joke:
    """A lone text with its parts told apart where it is a question with its answer behind it."""
    if len(text) > MAX_CHARACTERS:
        return Joke(text)
    marked = _ASKED_ANSWERED.match(text)
    if marked:
        return Joke(tidy(f"{marked[1].strip()}\n{marked[2].strip()}"), marked[1].strip(), marked[2].strip())
    question, mark, answer = text.partition("?")
    setup, punchline = f"{question}{mark}", answer.strip(" \n\t-–—.…\"'”")
    told = mark and "\n" not in question and not re.search(r"[.!]\s", question) and _RIDDLE.match(text)
    if told and any(map(str.isalnum, punchline)) and len(answer.split()) <= ANSWER_WORDS:
        return Joke(text, setup, answer.strip())
    return Joke(text)


def kind(joke: Joke) -> str:
    """qa: a question and its answer; story: over 60 words; one_liner: anything else."""
    if joke.setup.rstrip(" \"'”").endswith("?") and len(joke.punchline.split()) <= ANSWER_WORDS:
        return "qa"
    return "story" if len(joke.text.split()) > STORY_WORDS else "one_liner"
