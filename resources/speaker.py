"""One loaded base with its personas' adapters that speaks to many at once: turns of one persona are decoded together.

    speaker = Speaker.load(base, {"twain": folder})
    for piece in speaker.stream([{"role": "user", "content": "Will it rain in Reno?"}], TOOLS): ...

One thread owns the model. Requests wait in a bounded queue, join the batch of their persona between two steps, and
leave it when they end or nobody listens. What may be remembered and decoded at once is bounded in bytes. Greedy turns
are those of LanguageModel.generate. What a batch is, training/decoding.py says.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.prefixes import LEAST, Prefixes
from resources.routing import BASE, RoutedModel, with_system
from resources.turns import CANCELLED, LENGTH, STOP, Progress, Sink, Turn, Written
from twainbot.dialogues.routing import Router, first_prompt
from twainbot.errors import Busy, TooLong, TwainBotError, UnknownName

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from resources.constrained import CallGrammars, CallMatcher
    from resources.language_model import LanguageModel, Message, Tools
    from training.decoding import Batch, Memory

AUTO = "auto"  # the router says who speaks
LEAST_TEMPERATURE = 1e-4  # below it nothing is drawn: here a lead of 0.001 logits is odds of e^10, 22,026 to 1
AT_ONCE = 512  # tokens read between two steps: a long prompt keeps nobody waiting longer than that many take


@dataclass(frozen=True)
class Bounds:
    """What a speaker takes on. `memory_mib`: keys and values of running turns; a quarter more for remembered ones."""

    running: int = 8  # turns decoded at once
    waiting: int = 64  # requests in the queue; the next one is refused
    memory_mib: int = 1024


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen. top_p: from the likeliest that reach this share together.

    temperature 0, or less than LEAST_TEMPERATURE: the likeliest.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def generator(self) -> Generator | None:
        """The turn's own random numbers; None where nothing is drawn."""
        import torch

        if self.temperature < LEAST_TEMPERATURE:
            return None
        made = torch.Generator()
        made.manual_seed(self.seed) if self.seed is not None else made.seed()
        return made


@dataclass
class _Request:
    """A turn on its way: waiting, being read or in a batch."""

    turn: Progress
    ids: list[int]
    limit: int  # tokens that it may write
    written: Written
    sampling: Sampling
    matcher: CallMatcher | None = None
    memory: Memory | None = None  # of the beginning of ids that was read so far
    generator: Generator | None = field(default=None)

    @property
    def most(self) -> int:
        """Tokens that it holds at its end."""
        return len(self.ids) + self.limit


class Speaker:
    """Streams assistant turns; see the module. `close()` ends its thread."""

    def __init__(
        self,
        model: LanguageModel,
        personas: Sequence[str],
        router: Router | None = None,
        *,
        adapters: bool = True,
        bounds: Bounds | None = None,
    ) -> None:
        """adapters: whether `personas` are adapters that can be switched; else one voice that is the model itself."""
        self.model = model
        self.personas = tuple(personas)
        self.router = router
        self.adapters = adapters
        self.bounds = bounds or Bounds()
        most = self.bounds.memory_mib * 2**20
        self.token_bytes = token_bytes(model.model)
        self.most_tokens = most // self.token_bytes
        self.window = min(int(model.model.config.max_position_embeddings), self.most_tokens)
        self.prefixes = Prefixes(most // 4)
        self._grammars: CallGrammars | None = None
        self._compiling = threading.Lock()  # apart from the next: the turns of others go on while a grammar is made
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._rows: dict[str, list[_Request]] = {}
        self._batches: dict[str, Batch] = {}
        self._voice = ""  # whose adapter is on
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="speaker", daemon=True)
        self._thread.start()

    @classmethod
    def load(
        cls,
        base: Path,
        adapters: Mapping[str, Path],
        router: Router | None = None,
        *,
        merged: bool = False,
        voices: Sequence[str] = (),
        bounds: Bounds | None = None,
    ) -> Speaker:
        """Load a base folder and an adapter folder per persona; none at all lets the base speak.

        merged: fold an only adapter into the weights, which is a quarter faster on a CPU; the base alone is then not to
        be had. voices: whose system prompts such an adapter was trained on; its own name's without. Raises MissingModel
        or BadInput where a folder is not what it should be.
        """
        from resources.language_model import LanguageModel

        if not adapters:
            return cls(LanguageModel.load(base), [BASE], adapters=False, bounds=bounds)
        if merged and len(adapters) == 1:
            ((name, folder),) = adapters.items()
            model = LanguageModel.load(base, folder, merged=True)
            return cls(model, voices or [name], router, adapters=False, bounds=bounds)
        routed = RoutedModel.load(base, adapters, router)
        return cls(routed.model, routed.personas, router, bounds=bounds)

    @property
    def voices(self) -> tuple[str, ...]:
        """Who can be asked for by name: personas, and the base where its adapters can be switched off."""
        return (*self.personas, BASE) if self.adapters else self.personas

    def stream(
        self,
        messages: Sequence[Message],
        tools: Tools | None = None,
        *,
        persona: str | None = None,
        max_new_tokens: int = 256,
        room: int = 1,
        stop: Sequence[str] | Callable[[], bool] | None = None,
        constrained: bool = False,
        sampling: Sampling | None = None,
        sink: Sink | None = None,
    ) -> Turn:
        """The next assistant turn, piece by piece; tool calls as text. Safe to call from any thread.

        persona: who speaks; None or "auto" lets the router say. A conversation without a system prompt gets its
        persona's. The turn ends by itself, after `max_new_tokens`, at the window's end, and before a text of `stop` or,
        where `stop` is a function, once it says so between two pieces.
        room: tokens that the window must have left for it. constrained: calls can only be of these tools, as far as their
        schemas can be enforced. sink: takes the pieces in place of the iterator, on the speaker's thread. Raises
        UnknownName for a persona, TooLong for a prompt that leaves no such room, Busy where too many wait.
        """
        voice = self.voice_for(messages, persona)
        ids = self.prompt_ids(messages, tools, voice)
        if len(ids) + room > self.window:
            least = f"{room} tokens of " if room > 1 else ""
            raise TooLong(
                f"The prompt has {len(ids)} tokens, and the window of {self.window} must leave {least}room for an answer. "
                "Shorten the conversation or begin a new one."
            )
        matcher = self._grammar_of(tools) if constrained and tools else None
        limit = max(1, min(max_new_tokens, self.window - len(ids)))
        chosen = sampling or Sampling()
        asked = stop if callable(stop) else None
        turn = Turn(voice, len(ids), sink, asked)
        written = Written(self.model.tokenizer, () if stop is None or callable(stop) else stop)
        self._enter(_Request(turn.progress, ids, limit, written, chosen, matcher, generator=chosen.generator()))
        return turn

    def voice_for(self, messages: Sequence[Message], persona: str | None) -> str:
        """Who answers. Raises UnknownName for a persona that is not loaded."""
        if persona is None or persona == AUTO:
            chosen = self.router.route(first_prompt(messages)).persona if self.router else self.personas[0]
            return chosen if chosen in self.personas else self.personas[0]
        if persona not in self.voices:
            raise UnknownName(f"Nobody here is called {persona!r}. There are: {', '.join((AUTO, *self.voices))}.")
        return persona

    def prompt_ids(self, messages: Sequence[Message], tools: Tools | None, voice: str) -> list[int]:
        """The tokens that a turn of this voice is predicted from."""
        from training.render import render

        talk = with_system(messages, voice)
        return render(talk, tools, self.model.tokenizer, self.model.template, add_generation_prompt=True)[0]

    def load_now(self) -> dict[str, int]:
        """How much is going on: requests waiting and running, bytes of keys and values held and remembered."""
        with self._changed:
            held = sum(len(batch) * batch.columns for batch in self._batches.values()) * self.token_bytes
            return {
                "waiting": sum(not request.turn.cancelled for request in self._waiting),
                "running": sum(map(len, self._rows.values())),
                "held_bytes": held,
                "remembered_bytes": self.prefixes.bytes,
            }

    def close(self) -> None:
        """End the thread; turns that are not finished end with an error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _grammar_of(self, tools: Tools) -> CallMatcher | None:
        from resources.constrained import CallGrammars

        with self._compiling:
            if self._grammars is None:
                self._grammars = CallGrammars(self.model.tokenizer, self.model.template, self.model.eos_id)
            return self._grammars.begin(tools)

    def _enter(self, request: _Request) -> None:
        with self._changed:
            if self._closed:
                raise Busy("The speaker is closed. Start it again.")
            self._sweep()
            if len(self._waiting) >= self.bounds.waiting:
                raise Busy(f"{len(self._waiting)} requests wait already, and no more may. Try again in a moment.")
            self._waiting.append(request)
            self._changed.notify_all()

    def _sweep(self) -> None:
        """Let go of waiting requests that nobody listens to any more: they keep no place from others. Holds the lock."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            if request.turn.cancelled:
                finish(request, CANCELLED)
            else:
                self._waiting.append(request)

    # ---- the thread that owns the model

    def _work(self) -> None:
        import torch

        torch.set_grad_enabled(False)
        while True:
            with self._changed:
                while not (self._closed or self._waiting or any(self._rows.values())):
                    self._changed.wait()
                if self._closed:
                    break
                admitted = self._admitted()
            for voice in dict.fromkeys([*(request.turn.persona for request in admitted), *self._rows]):
                self._turn_of(voice, [request for request in admitted if request.turn.persona == voice])
        left = [*self._waiting, *(request for rows in self._rows.values() for request in rows)]
        for request in left:
            request.turn.tell(Busy("The speaker was closed before this turn was finished."))

    def _admitted(self) -> list[_Request]:
        """The requests that may join now: first come first served, as far as rows, memory and a round's reading go."""
        chosen: list[_Request] = []
        going = {voice: list(rows) for voice, rows in self._rows.items()}
        reading = 0
        self._sweep()
        while self._waiting:
            request = self._waiting[0]
            mine = [*going.get(request.turn.persona, []), request]
            together = {**going, request.turn.persona: mine}
            held = sum(len(rows) * max(row.most for row in rows) for rows in together.values() if rows)
            rows = sum(map(len, together.values()))
            if rows > self.bounds.running or (rows > 1 and held > self.most_tokens) or reading >= AT_ONCE:
                break
            reading += len(request.ids)
            going = together
            chosen.append(self._waiting.popleft())
        return chosen

    def _turn_of(self, voice: str, joining: list[_Request]) -> None:
        """Let those who join be read, then all rows of this voice write a token. An error ends these rows only."""
        from training.decoding import Batch

        with self._changed:
            rows = self._rows.setdefault(voice, [])
            batch = self._batches.setdefault(voice, Batch(self.model.model, self.model.eos_id))
        try:
            self._speak_as(voice)
            self._join(voice, batch, rows, joining)
            if rows:
                self._write(voice, batch, rows)
        except Exception as error:
            fault = error if isinstance(error, TwainBotError) else _unexpected(error)
            hit = {id(each): each for each in (*rows, *joining) if each.turn.finish is None}
            with self._changed:
                self._waiting = deque(each for each in self._waiting if id(each) not in hit)
            for request in hit.values():
                request.turn.tell(fault)
            rows.clear()
        if not rows:
            self._drop(voice)

    def _drop(self, voice: str) -> None:
        with self._changed:
            self._rows.pop(voice, None)
            self._batches.pop(voice, None)

    def _speak_as(self, voice: str) -> None:
        """Switch adapters where another voice spoke last."""
        if not self.adapters or voice == self._voice:
            return
        tuned = self.model.model
        if voice == BASE:
            tuned.base_model.disable_adapter_layers()
        else:
            if self._voice in ("", BASE):
                tuned.base_model.enable_adapter_layers()
            tuned.set_adapter(voice)
        self._voice = voice

    def _join(self, voice: str, batch: Batch, rows: list[_Request], joining: list[_Request]) -> None:
        """Read what joins, in parts where it is long; what is not read to its end goes back to the head of the queue."""
        from training.decoding import common_start, read

        model = self.model.model
        shared = common_start([request.ids[:-1] for request in joining]) if len(joining) > 1 else []
        if shared:
            known = self.prefixes.find(voice, [*shared, -1])
            if len(shared) - (len(known.ids) if known else 0) >= LEAST:
                fresh = shared[len(known.ids) if known else 0 :][:AT_ONCE]
                self.prefixes.keep(voice, read(model, fresh, known))
        ready: list[_Request] = []
        for request in joining:
            found = self.prefixes.find(voice, request.ids)
            if request.memory is None or (found and len(found.ids) > len(request.memory.ids)):
                request.turn.known_tokens = len(found.ids) if found else 0
                request.memory = found
            known = len(request.memory.ids) if request.memory else 0
            if len(request.ids) - known > AT_ONCE:
                request.memory = read(model, request.ids[known : known + AT_ONCE], request.memory)
                with self._changed:
                    self._waiting.appendleft(request)
            else:
                ready.append(request)
        tails = [request.ids[len(request.memory.ids) if request.memory else 0 :] for request in ready]
        batch.join(tails, [request.memory for request in ready])
        for request, tail in zip(ready, tails, strict=True):
            request.memory = None
            rows.append(request)
            if len(tail) >= LEAST:
                self.prefixes.keep(voice, batch.memory(len(rows) - 1, request.ids))

    def _write(self, voice: str, batch: Batch, rows: list[_Request]) -> None:
        """One token for each row. Rows that end are told so, remembered and dropped; failed ones are not remembered."""
        tokens = choose(batch.logits, rows)
        going = [number for number, request in enumerate(rows) if self._told(request, tokens[number])]
        for number in set(range(len(rows))) - set(going):
            request = rows[number]
            if isinstance(tokens[number], Exception):
                continue  # what it holds may be as bad as its logits
            self.prefixes.keep(
                voice, batch.memory(number, [*request.ids, *request.written.ids][: int(batch.lengths[number])])
            )
        batch.keep(going)
        rows[:] = [rows[number] for number in going]
        if rows:
            batch.step([token for number in going if isinstance(token := tokens[number], int)])

    def _told(self, request: _Request, token: int | Exception) -> bool:
        """Tell a row's listener what its token says, or why there is none. Whether the row goes on."""
        turn, written = request.turn, request.written
        if isinstance(token, Exception):
            turn.tell(_unexpected(token))
            return False
        if turn.cancelled:
            finish(request, CANCELLED)
            return False
        turn.new_tokens += 1
        if token == self.model.eos_id:
            finish(request, STOP)
            return False
        piece = written.add(token)
        if request.matcher is not None:
            request.matcher.add(token)
        if piece:
            turn.tell(piece)
        if written.stopped or turn.new_tokens >= request.limit:
            finish(request, STOP if written.stopped else LENGTH)
            return False
        return True


def finish(request: _Request, how: str) -> None:
    """Tell the listener the rest, and that it is over."""
    rest = request.written.rest()
    request.turn.finish = how
    if rest:
        request.turn.tell(rest)
    request.turn.tell(None)


def choose(logits: Tensor, rows: Sequence[_Request]) -> list[int | Exception]:
    """The next token of each row, or why it has none: a row that cannot be drawn ends no other."""
    tokens: list[int | Exception] = logits.argmax(-1).tolist()
    for number, request in enumerate(rows):
        if request.matcher is None and request.generator is None:
            continue
        try:
            tokens[number] = chosen(logits[number].float(), request)
        except Exception as error:
            tokens[number] = error
    return tokens


def chosen(logits: Tensor, request: _Request) -> int:
    """A row's token out of its logits (V,): only what its grammar allows; the likeliest, or drawn by its random numbers."""
    if request.matcher is not None:
        logits = request.matcher.allowed(logits)
    return draw(logits, request.sampling, request.generator) if request.generator is not None else int(logits.argmax())


def draw(logits: Tensor, sampling: Sampling, generator: Generator) -> int:
    """A token drawn from logits (V,). The likeliest can always be drawn, however little top_p leaves."""
    import torch

    # divided by LEAST_TEMPERATURE no logit comes near a float's end, so softmax may subtract the largest after that
    shares, order = (logits.cpu() / sampling.temperature).softmax(-1).sort(descending=True)
    left_out = shares.cumsum(-1) - shares >= sampling.top_p
    left_out[0] = False
    return int(order[torch.multinomial(shares.masked_fill(left_out, 0.0), 1, generator=generator)])


def token_bytes(model: Any) -> int:
    """Bytes of keys and values that one token takes in all layers."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * next(model.parameters()).element_size())


def _unexpected(error: Exception) -> TwainBotError:
    return TwainBotError(f"The model failed while it spoke ({type(error).__name__}: {error}). Try again.")
