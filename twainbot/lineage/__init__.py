"""Row-level lineage: every row, what it was made of and what learned from it. links.py joins them, page.py shows them."""
