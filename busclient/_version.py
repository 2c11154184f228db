"""The client's version; the same as the project's in pyproject.toml."""

__version__ = "0.1.0"
