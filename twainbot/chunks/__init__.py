"""From cleaned works to token-bounded passages with tags. Screening, near-duplicates and splits come later."""

from __future__ import annotations

from twainbot.chunks.windows import Chunk, Chunker, chunk_works, windows

__all__ = ["Chunk", "Chunker", "chunk_works", "windows"]
