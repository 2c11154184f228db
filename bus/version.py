"""Which version of the hub this is; a test compares it with pyproject.toml and the client."""

__version__ = "0.1.0"
