"""The styles that a passage of the shipped corpora may have. A module of its own, since whoever loads the graph reads it."""

STYLES = ("twain", "franklin", "satire", "joke", "weather_fact", "dialogue")
