"""A small grammar engine: weighted templates with slots, written as YAML blocks. What to say lives in grammars/*.yaml.

A grammar file maps a rule to its alternatives, one a line. A line may start with a weight (`3* `) and may hold

    {rule} or {slot}    an expansion of that rule, or the slot's value
    {rule@slot}         the rule "rule@<value of slot>", or "rule@other" where no such rule exists
    {slot|a|cap}        the value passed through filters: a (article), cap, s (possessive), lower, upper
    <this|that|>        one of these, the empty one included; alternatives may hold slots and choices

`include:` lists files whose rules are added; `slots:` lists the names that a caller fills.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeAlias

import yaml

from twainbot import personas
from twainbot.errors import BadConfig
from twainbot.personas import Persona

MAX_DEPTH = 12  # the deepest shipped rule nests 5; a rule that calls itself past this has no way out

Node: TypeAlias = "str | Ref | Choice"
Template: TypeAlias = tuple[Node, ...]


@dataclass(frozen=True)
class Ref:
    """A mention of a rule or slot: `{name@key|filter}`."""

    name: str
    key: str | None
    filters: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """An inline choice between templates of equal weight."""

    options: tuple[Template, ...]


@dataclass(frozen=True)
class Alternative:
    """One line of a rule and its weight (> 0)."""

    weight: float
    template: Template


def article(word: str) -> str:
    """The word with "a" or "an" before it, by sound: an 8, an 11, an 80, but a 1; an hour, but a one-eyed man."""
    vowel = word[:1].lower() in "aeiou" and not re.match(r"on(?:e|ce)\b", word, re.IGNORECASE)
    vowel = vowel or re.match(r"(?:8\d*|11|18)(?!\d)|hono|hour|heir", word, re.IGNORECASE) is not None
    return f"{'an' if vowel else 'a'} {word}"


def capital(text: str) -> str:
    """The text with its first character in upper case, the rest as it was."""
    return text[:1].upper() + text[1:]


def possessive(word: str) -> str:
    """The word's possessive: Reno's, Los Angeles'."""
    return f"{word}'" if word.endswith("s") else f"{word}'s"


FILTERS: Mapping[str, Callable[[str], str]] = {
    "a": article,
    "cap": capital,
    "s": possessive,
    "lower": str.lower,
    "upper": str.upper,
}

_REF = re.compile(r"(?P<name>[a-z_]+(?:@[a-z_]+)?)(?P<filters>(?:\|[a-z]+)*)\}")
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?)\* ")


class _Reader:
    """Reads one template line. It stands before a class of its own because choices nest."""

    def __init__(self, line: str, where: str) -> None:
        self.line, self.where, self.at = line, where, 0

    def template(self, ends: str = "") -> Template:
        nodes: list[Node] = []
        while self.at < len(self.line) and self.line[self.at] not in ends:
            nodes.append(self._node(ends))
        return tuple(nodes)

    def _node(self, ends: str) -> Node:
        sign = self.line[self.at]
        if sign == "{":
            return self._ref()
        if sign == "<":
            return self._choice()
        stop = re.compile("[{<" + re.escape(ends) + "]").search(self.line, self.at)
        start, self.at = self.at, stop.start() if stop else len(self.line)
        return self.line[start : self.at]

    def _ref(self) -> Ref:
        match = _REF.match(self.line, self.at + 1)
        if match is None:
            raise BadConfig(f"{self.where}: no slot can be read at {self.line[self.at : self.at + 30]!r}.")
        self.at = match.end()
        name, _, key = match["name"].partition("@")
        filters = tuple(part for part in match["filters"].split("|") if part)
        unknown = [part for part in filters if part not in FILTERS]
        if unknown:
            raise BadConfig(f"{self.where}: unknown filters {unknown}; known are {sorted(FILTERS)}.")
        return Ref(name, key or None, filters)

    def _choice(self) -> Choice:
        options: list[Template] = []
        while self.at < len(self.line) and self.line[self.at] != ">":
            self.at += 1
            options.append(self.template("|>"))
        if self.at >= len(self.line):
            raise BadConfig(f"{self.where}: a choice '<' has no '>' in {self.line[:60]!r}.")
        self.at += 1
        return Choice(tuple(options))


def parse(line: str, where: str = "template") -> Alternative:
    """One line of a rule. Raises BadConfig naming the place of a slot, filter or choice that cannot be read."""
    match = _WEIGHT.match(line)
    weight = float(match[1]) if match else 1.0
    return Alternative(weight, _Reader(line[match.end() :] if match else line, where).template())


def _refs(template: Template) -> Iterator[Ref]:
    for node in template:
        if isinstance(node, Ref):
            yield node
        elif isinstance(node, Choice):
            for option in node.options:
                yield from _refs(option)


@dataclass(frozen=True)
class Grammar:
    """Rules by name, and the slots that a caller may fill. Immutable; expansion takes the randomness from outside."""

    name: str
    rules: Mapping[str, tuple[Alternative, ...]]
    slots: frozenset[str]

    def expand(self, rule: str, context: Mapping[str, str], rng: random.Random) -> str:
        """One random expansion of the rule, tidied to single spaces and capitalised sentences.

        Raises BadConfig for an unknown rule, an unfilled slot, or rules that never end.
        """
        return tidy(self._expand_rule(rule, context, rng, 0))

    def phrase(self, rule: str, context: Mapping[str, str], rng: random.Random) -> str:
        """One random expansion as a part of a sentence: no capital is put before it, nothing is tidied."""
        return self._expand_rule(rule, context, rng, 0)

    def family(self, prefix: str) -> list[str]:
        """The keys k for which a rule "prefix@k" exists, in order."""
        return sorted(name.partition("@")[2] for name in self.rules if name.startswith(f"{prefix}@"))

    def _expand_rule(self, rule: str, context: Mapping[str, str], rng: random.Random, depth: int) -> str:
        if rule not in self.rules:
            raise BadConfig(f"Grammar {self.name} has no rule {rule!r}; it has {sorted(self.rules)[:12]} ...")
        if depth > MAX_DEPTH:
            raise BadConfig(f"Grammar {self.name}: rule {rule!r} nests deeper than {MAX_DEPTH}; give it a way out.")
        lines = self.rules[rule]
        chosen = rng.choices(lines, weights=[line.weight for line in lines])[0]
        return self._expand(chosen.template, context, rng, depth)

    def _expand(self, template: Template, context: Mapping[str, str], rng: random.Random, depth: int) -> str:
        parts: list[str] = []
        for node in template:
            if isinstance(node, str):
                parts.append(node)
            elif isinstance(node, Choice):
                parts.append(self._expand(rng.choice(node.options), context, rng, depth))
            else:
                parts.append(self._expand_ref(node, context, rng, depth))
        return "".join(parts)

    def _expand_ref(self, ref: Ref, context: Mapping[str, str], rng: random.Random, depth: int) -> str:
        if ref.key is None and ref.name in context:
            value = context[ref.name]
        elif ref.key is None and ref.name in self.slots:
            raise BadConfig(f"Grammar {self.name} needs the slot {ref.name!r}; got {sorted(context)}.")
        else:
            value = self._expand_rule(self._rule_name(ref, context), context, rng, depth + 1)
        for name in ref.filters:
            value = FILTERS[name](value)
        return value

    def _rule_name(self, ref: Ref, context: Mapping[str, str]) -> str:
        if ref.key is None:
            return ref.name
        if ref.key not in context:
            raise BadConfig(f"Grammar {self.name}: {ref.name}@{ref.key} needs the slot {ref.key!r}.")
        exact = f"{ref.name}@{context[ref.key]}"
        return exact if exact in self.rules else f"{ref.name}@other"


def tidy(text: str) -> str:
    """Single spaces, none before a mark, no doubled full stop, and a capital after each sentence's end.

    After `?"` and `!"` the sentence may go on: "Well?" said the barber.
    """
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.;:!?])", r"\1", text)
    text = re.sub(r"(?<!\.)\.\.(?!\.)", ".", text)
    return capital(re.sub(r"([.!?] |\.\" )([a-z])", lambda match: match[1] + match[2].upper(), text))


def build(
    name: str, files: Mapping[str, str], slots: frozenset[str] = frozenset(), own: Sequence[Persona] = ()
) -> Grammar:
    """A checked grammar from YAML texts by file name; `name` is the file to start from. `own`: personas to word it for.

    Raises BadConfig where a file is no mapping, an include is missing, or a mention names neither rule nor slot.
    """
    rules, declared = _gather(name, files)
    rules = _worded(rules, own)
    parsed = {
        rule: tuple(parse(line, f"{name}: rule {rule}") for line in block.splitlines() if line.strip())
        for rule, block in rules.items()
    }
    grammar = Grammar(name, parsed, declared | slots)
    _check(grammar)
    return grammar


def _gather(name: str, files: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    if name not in files:
        raise BadConfig(f"There is no grammar {name!r}; there are {sorted(files)}.")
    content = yaml.safe_load(files[name])
    if not isinstance(content, dict):
        raise BadConfig(f"Grammar {name} must map rules to blocks of lines; got {type(content).__name__}.")
    rules: dict[str, str] = {}
    slots = frozenset(content.pop("slots", "").split())
    for other in content.pop("include", []):
        more, more_slots = _gather(other, files)
        rules |= more
        slots |= more_slots
    return rules | {str(rule): str(block) for rule, block in content.items()}, slots


def _worded(rules: Mapping[str, str], own: Sequence[Persona]) -> dict[str, str]:
    """The rules, and for each persona of a profile those that go by persona: in its words, else as the one it is like."""
    found = dict(rules)
    for persona in own:
        for rule, block in rules.items():
            name, _, key = rule.partition("@")
            if key == persona.like:
                found[f"{name}@{persona.name}"] = persona.lines.get(name, block)
    return found


def _check(grammar: Grammar) -> None:
    for rule, lines in grammar.rules.items():
        if not lines:
            raise BadConfig(f"Grammar {grammar.name}: rule {rule!r} has no line.")
        for ref in (ref for line in lines for ref in _refs(line.template)):
            known = grammar.family(ref.name) if ref.key else ref.name in grammar.rules or ref.name in grammar.slots
            if not known or (ref.key and ref.key not in grammar.slots):
                raise BadConfig(f"Grammar {grammar.name}: rule {rule!r} mentions {ref.name!r}, neither rule nor slot.")


def _package_files() -> dict[str, str]:
    folder = resources.files("twainbot.dialogues")
    found = [*folder.iterdir(), *(folder / "grammars").iterdir()]
    return {item.name: item.read_text("utf-8") for item in found if item.name.endswith(".yaml")}


def own_files(own: Sequence[Persona], files: Mapping[str, str]) -> dict[str, str]:
    """The grammars of personas that a profile brings: those of whom they are like, with their own rules laid over.

    Raises BadConfig where a line's rule is none that goes by persona, or a persona is called as a grammar is.
    """
    found: dict[str, str] = {}
    for persona in own:
        known = {name for text in files.values() for name in re.findall(rf"^(\w+)@{persona.like}:", text, re.MULTILINE)}
        unknown = sorted(set(persona.lines) - known)
        if unknown:
            raise BadConfig(
                f"Persona {persona.name}: no rule of the lines {unknown} goes by persona; {sorted(known)} do."
            )
        for start, rules in (("", persona.grammar), ("piece_", persona.pieces)):
            name = f"{start}{persona.name}.yaml"
            if name in files:
                raise BadConfig(
                    f"Persona {persona.name}: a grammar {name} ships with the project. Choose another name."
                )
            found[name] = yaml.safe_dump({"include": [f"{start}{persona.like}.yaml"], **rules}, sort_keys=False)
    return found


def load(name: str) -> Grammar:
    """The grammar of that name (a file of grammars/, or a persona of the profile), checked when first read."""
    return _loaded(name, personas.stamp())


@cache
def _loaded(name: str, stamp: str) -> Grammar:  # noqa: ARG001 - another cast has other grammars
    files = _package_files()
    return build(f"{name}.yaml", {**files, **own_files(personas.own(), files)}, own=personas.own())


def data_hash() -> str:
    """12 hex digits over all data files of this package: they shape every dialogue, yet no module's code shows them."""
    return _data_hash(tuple((each.name, each.digest) for each in personas.own()))


@cache
def _data_hash(own: tuple[tuple[str, str], ...]) -> str:
    digest = hashlib.sha256()
    for name, text in sorted({**_package_files(), **dict(own)}.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:12]
