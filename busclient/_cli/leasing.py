"""bus lease, bus unlease, bus leases: who works on which files of a repository."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from busclient._cli import kinds
from busclient._cli.output import columns, json_option, open_bus, out
from busclient._harmless import one_line

if TYPE_CHECKING:
    from busclient._agents.file_leases import FileLease
    from busclient._repository import Repository

_LONGEST_S = 86_400
_HEAD = ("HOLDER", "REPO", "PATHS", "UNTIL", "REASON", "ID")
_REPO = click.option(
    "--repo", help="Another repository, by URL or name; paths are then as it has them."
)


@click.command()
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@click.option(
    "--ttl", type=kinds.DURATION, metavar="TIME", help="How long, up to 24h; 1h unless given."
)
@click.option("--shared", is_flag=True, help="Together with others who share it.")
@click.option("--reason", help="What for; everybody sees it.")
@_REPO
@json_option
def lease(
    paths: tuple[str, ...],
    ttl: float | None,
    shared: bool,
    reason: str | None,
    repo: str | None,
) -> None:
    """Say that you work on files: PATH is a file, a folder, or a pattern such as 'src/**/*.py'.

    The repository is that of the current folder. Refused if another holds one of the files; the
    same command again prolongs the lease.
    """
    if ttl is not None and not 1 <= ttl <= _LONGEST_S:
        raise click.BadParameter("A lease lasts 1s to 24h; renew it.", param_hint="--ttl")
    repo, wanted = _wanted(repo, paths)
    with open_bus() as bus:
        taken = bus.lease(*wanted, repo=repo, ttl_s=ttl, exclusive=not shared, reason=reason)
    text = f"{_paths(taken)} until {taken.until} ({taken.id})"
    out.result({"lease": asdict(taken)}, f"{one_line(taken.holder, 140)} holds {text}")


@click.command()
@click.argument("wanted", metavar="[PATH|ID]…", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that you hold in the repository.")
@click.option("--reason", help="Of an admin who ends another's: the holder is told.")
@_REPO
@json_option
def unlease(wanted: tuple[str, ...], every: bool, reason: str | None, repo: str | None) -> None:
    """End leases of yours, by the PATH they were taken with, or by their ID.

    An admin ends another's by its ID.
    """
    if bool(wanted) == every:
        raise click.UsageError("Give a PATH or an ID, or --all.")
    ids = [text for text in wanted if _is_id(text)]
    texts = tuple(text for text in wanted if not _is_id(text))
    ended: list[FileLease] = []
    with open_bus() as bus:
        if texts or every:
            repo, patterns = _wanted(repo, texts)
            mine = bus.leases(repo=repo, holder=bus.name)
            ended += [bus.unlease(one) for one in mine if every or _has(one, patterns)]
        ended += [bus.unlease(id, reason=reason) for id in ids]
    text = "\n".join(f"ended {_paths(one)} ({one.id})" for one in ended)
    out.result({"leases": [asdict(one) for one in ended]}, text or "no such lease of yours")


@click.command()
@click.option("--all", "every", is_flag=True, help="In every repository.")
@click.option("--mine", is_flag=True, help="Only your own.")
@_REPO
@json_option
def leases(every: bool, mine: bool, repo: str | None) -> None:
    """List who works on which files, in the repository of the current folder."""
    if repo is None and not every:
        here = _here()
        repo = None if here is None else here.name
    with open_bus() as bus:
        found = bus.leases(repo=repo, holder=bus.name if mine else None)
    if out.as_json:
        out.json({"ok": True, "leases": [asdict(one) for one in found]})
        return
    for line in columns(_HEAD, map(_row, found)):
        out.line(line)
    if not found:
        out.line("no leases")


def _row(lease: FileLease) -> tuple[str, ...]:
    paths = _paths(lease) + ("" if lease.exclusive else " (shared)")
    return lease.holder, lease.repo, paths, lease.until, lease.reason or "", lease.id


def _paths(lease: FileLease) -> str:
    return one_line(" ".join(lease.paths), 100)


def _has(lease: FileLease, patterns: list[str]) -> bool:
    """Return whether a lease was taken with one of these patterns."""
    wanted = {f"{text}**" if text.endswith("/") else text for text in patterns}
    return bool(wanted & set(lease.paths))


def _is_id(text: str) -> bool:
    return len(text) == 26 and text.isascii() and text.isalnum() and not Path(text).exists()


def _wanted(repo: str | None, texts: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return the repository that is meant, and patterns as it has them; raises UsageError.

    An empty text is a variable of a script that was not set: it must not mean the whole folder.
    """
    if "" in texts:
        raise click.UsageError("A PATH is empty. `.` is the current folder with all that is in it.")
    if repo is not None:
        return repo, list(texts)
    here = _here()
    if here is None:
        raise click.UsageError(
            "The current folder is in no git repository: give --repo, and paths from its root."
        )
    found = []
    for text in texts:
        pattern = here.pattern_of(text, Path.cwd())
        if pattern is None:
            raise click.UsageError(f"{text[:200]!r} is not in the repository {here.root}.")
        found.append(pattern)
    return here.name, found


def _here() -> Repository | None:
    from busclient._repository import find  # noqa: PLC0415

    return find(Path.cwd(), within_s=5)
