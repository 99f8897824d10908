"""The folders of this run, as a resource, so that assets take them as an argument. What they mean stands in home.py."""

from __future__ import annotations

from pathlib import Path

import dagster as dg


class Folders(dg.ConfigurableResource[None]):
    """Absolute paths. Shared: models, cache. Per profile: work, reports, reviews, ratings, warehouse."""

    models: str
    cache: str
    work: str
    reports: str
    reviews: str
    ratings: str
    warehouse: str

    def model(self, name: str) -> Path:
        """The folder of a base model by the name that base/model gives it."""
        return Path(self.models) / name
