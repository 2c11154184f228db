"""The `bus` command, also as `python -m busclient`: says its version at once, and loads the rest
for all else.

Nothing is imported at the top: a status line or a hook that only asks for the version waits for
Python alone.
"""

import sys

from busclient._version import __version__


def main() -> None:
    """Run the command line of this process."""
    if sys.argv[1:] == ["--version"] and _said(f"bus, version {__version__}\n"):
        return
    if sys.argv[1:] in (["hook"], ["statusline"]):  # Claude Code waits for these
        from busclient._claude import quick  # noqa: PLC0415

        quick.main(sys.argv[1])
    from busclient import _cli  # noqa: PLC0415  30 ms

    _cli.main()


def _said(text: str) -> bool:
    """Return whether this could be written.

    Where it could not, the command says why, and with which exit code.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, AttributeError):  # it is full, its reader is gone, or it is closed
        return False
    return True


if __name__ == "__main__":
    main()
