"""What is done to an input before a parser gets it: bytes cut, doubled and spliced, values of JSON and YAML swapped, members
of archives changed. A seed and a number give the same input for ever.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

MOST_BYTES = 65_536  # of an input: a parser that is slow on this much is slow on a page
DEEP = 3_000  # beyond what Python's stack holds

# Values that programs stumble over, as JSON has them.
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.0, -0.0, 1e308, 1e-320, float("nan"), float("inf"),
    "", " ", "\x00", "\ufeff", "\ud800", "²", "١٢", "𝟙", "1e999", "nan", "-0", "../../etc/passwd", "%2e%2e", "9" * 400, "a" * 5_000,
    "2026-13-45T99:99:99Z", "0000-00-00", "9999-12-31T23:59:59+23:59", "true", "null", "https://[", "http://a:99999999/", "javascript:0",
    "<script>", "\u202e", "\r\n", "wmoUnit:degC", [], {}, [[]], [None], {"": None}, [{}], {"a": {"a": {}}},
)  # fmt: skip

# Pieces that mean something to one parser or another.
TOKENS: tuple[bytes, ...] = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xfe\xff", b"\x1b[", b"\r\r\n", b"\x1e", b"\x0b", b"\xc2\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80",
    b"<", b">", b"</", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"&#0;", b"&#x110000;", b"&#xd800;", b"&amp;" * 9, b"<p>" * 400,
    b"<!DOCTYPE x [<!ENTITY a \"b\">]>", b"<?xml version=\"1.0\" encoding=\"utf-7\"?>", b"<meta charset=\"rot13\">", b"<title>",
    b"<script type=\"application/ld+json\">", b"</script>", b"<template>", b"<svg>", b"<math>", b"<base href=\"//[\">",
    b"*** START OF", b"*** END OF THE PROJECT GUTENBERG EBOOK", b"*END*THE SMALL PRINT!", b"Project Gutenberg", b"CHAPTER I.\n",
    b"[Illustration", b"]", b"[", b"{", b"}", b"\"", b"'", b"\\", b"\\u0000", b"\\ud800", b",", b":", b"- ", b"&a ", b"*a", b"<<: *a",
    b"!!python/object/apply:os.system", b"---\n", b"...\n", b"\t", b"%YAML 9.9", b"? ", b"| \n", b"0x", b"1_000", b"2026-02-30", b"12:60:99",
    b"$$\n", b"&&\n", b"/O.NEW.KOKX.WI.Y.0001.000000T0000Z-999999T9999Z/", b"LAT...LON 9999 99999", b"TIME...MOT...LOC 9999Z 999DEG 999KT",
    b"NYZ999>001-", b"-312460-", b"FPUS51 KOKX 312460", b"ZFPOKX", b".TODAY...", b".SYNOPSIS...", b"1260 AM EST Xyz Feb 31 0000",
    b"<tool_call>", b"</tool_call>", b"<tools>", b"```json", b"<|im_start|>", b"<|im_end|>", b"[INST]", b"User:", b"Assistant:",
    b"User-agent: *\n", b"Disallow: /*$", b"Crawl-delay: 1e999\n", b"Sitemap:", b"Allow: %", b"%zz",
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh9", b"%PDF-1.7", b"endobj", b"stream\n", b"endstream", b"xref\n",
    b"trailer", b"startxref\n99999999", b"/Kids [2 0 R]", b"/Filter /FlateDecode", b"/Length -1", b"1 0 R", b"<< >>", b"GGUF",
    b"9" * 4_400, b"-", b"1e400", b"NaN", b"Infinity", b"[" * DEEP, b"{\"a\":" * DEEP, b"(" * DEEP, b"a" * 4_096, b" " * 4_096, b"\n" * 4_096,
)  # fmt: skip

# Pieces that make a backtracking pattern slow once there are thousands of them in a row, where it starts at each anew.
PUMPS: tuple[str, ...] = (
    " ", "\t", "\n", "\r\n", "\n\n", "\n ", "a", "A", "1", ".", "...", ",", "-", "*", "_", "|", "'", '"', "(", "[", "<", "{", "%", "?", "\u00a0",
    "a ", "A ", "a\n", "A\n", "1 ", "5% ", ". ", "a. ", "A. ", "Mr. ", ", ", "a, ", "a-", " - ", "a@", "a.", "/a", ": ", "a: ", "Ab ", "the ", "and ",
)  # fmt: skip
PUMPED = (2_000, 10_000, 30_000)  # characters of them

_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1", "utf-8-sig", "utf-7", "shift_jis", "cp037")
_NUMBER = re.compile(rb"\d+")
_NUMBERS = (b"0", b"-1", b"00", b"99999999999999999999", b"2147483648", b"1.5e308", b"\xc2\xb2", b"9" * 4_400, b"")

Changer = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(rng: random.Random, seed: bytes, others: Sequence[bytes], shape: str = "") -> bytes:
    """The seed after one to eight changes. `others`: inputs to splice from. `shape`: json, lines, yaml, zip, gzip or ""."""
    data = seed
    by_shape = SHAPES.get(shape)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 8))):
        if by_shape is not None and rng.random() < 0.6:
            data = by_shape(rng, data, others)
        else:
            data = rng.choice(CHANGES)(rng, data, others)
        data = data[:MOST_BYTES]
    return data


# --- bytes -------------------------------------------------------------------------------------------------------------


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64, 256, 4_096)))


def _flip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _delete(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _repeat(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    piece = data[start:end]
    most = max(1, MOST_BYTES // max(1, len(piece)))
    return data[:end] + piece * min(most, rng.choice((1, 2, 10, 300, 5_000))) + data[end:]


def _truncate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.random() < 0.7 else data[at:]


def _splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    start, end = _span(rng, data)
    from_, to = _span(rng, other)
    return data[:start] + other[from_:to] + data[end if rng.random() < 0.5 else start :]


def _token(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + rng.choice(TOKENS) + data[start if rng.random() < 0.7 else end :]


def _number(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(data[:MOST_BYTES]))
    if not found:
        return _token(rng, data, others)
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(_NUMBERS) + data[one.end() :]


def _encode(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data.decode("utf-8", "replace").encode(rng.choice(_ENCODINGS), "replace")


def _swap_lines(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return rng.choice((b"\n", b"\n", b"\r\n", b"\r")).join(lines)


def pumped(rng: random.Random, text: str) -> str:
    """The text with one short piece over and over between two of its characters."""
    at, piece = rng.randrange(len(text) + 1), rng.choice(PUMPS)
    return text[:at] + piece * (rng.choice(PUMPED) // len(piece)) + text[at:]


def _pump(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    most = MOST_BYTES - max(PUMPED)
    start = rng.randrange(max(1, len(data) - most)) if rng.random() < 0.3 else 0
    text = data[start : start + most].decode("utf-8", "surrogateescape")
    return pumped(rng, text).encode("utf-8", "surrogateescape")


CHANGES: tuple[Changer, ...] = (
    _flip, _delete, _repeat, _truncate, _splice, _splice, _token, _token, _number, _encode, _swap_lines, _pump,
)  # fmt: skip


# --- values ------------------------------------------------------------------------------------------------------------


def changed_value(rng: random.Random, value: Any) -> Any:
    """A JSON value with one node replaced, dropped, doubled, renamed, wrapped, moved or swollen."""
    places = list(_places(value))
    if not places:
        return rng.choice(ODD_VALUES)
    holder, key = rng.choice(places)
    action = rng.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1:
        holder[key] = [holder[key]] if rng.random() < 0.5 else {"value": holder[key]}
    elif action == 2:
        other, at = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[at])) if at in range(len(other)) or at in other else None
    elif action == 3 and isinstance(holder, dict):
        holder[str(rng.choice(ODD_VALUES))] = holder.pop(key)
    elif action == 4 and isinstance(holder[key], str):
        holder[key] = pumped(rng, holder[key])
    else:
        holder[key] = rng.choice(ODD_VALUES)
    return value


def _places(value: Any) -> Any:
    """(container, key) of every node below a value."""
    pending = [value]
    while pending:
        holder = pending.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ():
            yield holder, key
            pending.append(holder[key])


def _json(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    try:
        value = json.loads(data)
        return json.dumps(changed_value(rng, value), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return rng.choice(CHANGES)(rng, data, others)


def _lines(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = _json(rng, lines[at], others)
    return b"\n".join(lines)


def _yaml(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    import yaml

    from twainbot import yaml_text

    try:
        value = changed_value(rng, yaml_text.read(data.decode("utf-8", "replace")))
        try:
            written: str = yaml.dump(value, Dumper=yaml.CSafeDumper, allow_unicode=True)
        except UnicodeEncodeError:  # half a character, which libyaml cannot write
            written = yaml.safe_dump(value)
        return written.encode()
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return rng.choice(CHANGES)(rng, data, others)


# --- archives ----------------------------------------------------------------------------------------------------------


def _zip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One member changed, renamed or added; the archive stays whole, so that what lies behind its directory is reached."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        at = rng.randrange(len(members))
        name, content = members[at]
        if rng.random() < 0.15:
            name = rng.choice(("../up.xhtml", "/etc/x", "a\\b", "", "con", name + "/", "%2e%2e/x", name.upper()))
        else:
            content = rng.choice(CHANGES)(rng, content, [other for _, other in members])[:MOST_BYTES]
        members[at] = (name, content)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return made.getvalue()
    except Exception:  # whatever a broken archive raises: then it is bytes
        return rng.choice(CHANGES)(rng, data, others)


def _gzip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    try:
        inside = gzip.decompress(data)
    except Exception:
        return rng.choice(CHANGES)(rng, data, others)
    return gzip.compress(rng.choice(CHANGES)(rng, inside, others), 1, mtime=0)


SHAPES: dict[str, Changer] = {"json": _json, "lines": _lines, "yaml": _yaml, "zip": _zip, "gzip": _gzip}
