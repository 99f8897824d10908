"""Settings of a generator, as a profile writes them: who writes, how fast, for how much. Asking is generators.py's."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

GRAMMAR, LOCAL = "grammar", "local"
URL, MODEL, KEY = "TWAINBOT_LLM_URL", "TWAINBOT_LLM_MODEL", "TWAINBOT_LLM_API_KEY"


class GeneratorSettings(BaseModel):
    """Who writes, how fast, for how much. `grammar`: nobody is asked. Budgets hold for the home, resumed runs included.

    `price_in`, `price_out`: US dollars for a million tokens. `model`: for `local` a folder, a Hub name, or the profile's own
    base where it is empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    backend: Literal["grammar", "openai", "anthropic", "local"] = GRAMMAR
    model: str = ""
    budget_usd: float | None = Field(default=None, ge=0.0)
    budget_tokens: int | None = Field(default=None, ge=0)
    price_in: float | None = Field(default=None, ge=0.0)
    price_out: float | None = Field(default=None, ge=0.0)
    concurrency: int = Field(default=4, ge=1, le=64)
    requests_per_minute: float | None = Field(default=None, gt=0.0)
    tokens_per_minute: float | None = Field(default=None, gt=0.0)
    batch_mode: bool = False
    temperature: float = Field(default=0.8, ge=0.0, le=2.0)
    timeout_s: float = Field(default=120.0, gt=0.0)  # for one answer as a whole
    attempts: int = Field(default=5, ge=1, le=20)

    @model_validator(mode="after")
    def is_bounded(self) -> GeneratorSettings:
        """Whoever asks for money names model and budget; a budget in dollars needs prices; batches need a service."""
        paid = self.backend in ("openai", "anthropic")
        if paid and not self.model:
            raise ValueError(f"backend {self.backend!r} needs a model, here or in {MODEL}")
        if paid and self.budget_usd is None and self.budget_tokens is None:
            raise ValueError(f"backend {self.backend!r} needs budget_usd or budget_tokens")
        if self.budget_usd is not None and (self.price_in is None or self.price_out is None):
            raise ValueError("budget_usd needs price_in and price_out, US dollars for a million tokens")
        if self.batch_mode and not paid:
            raise ValueError(f"batch_mode needs the backend openai or anthropic, not {self.backend!r}")
        return self

    def shaping(self) -> dict[str, object]:
        """What of the settings shapes the words: a raised budget or another pace makes nothing stale."""
        return {} if self.backend == GRAMMAR else self.model_dump(include={"backend", "model", "temperature"})
