"""From raw bytes of a source to WORK rows. Fetching is resources/sources.py; cutting into chunks is twainbot/chunks."""
