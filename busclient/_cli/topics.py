"""bus topics, bus sub, bus unsub, bus pub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from busclient._cli.output import age, columns, json_option, open_bus, out
from busclient._cli.posting import priority_of, read_text, tell

_HEAD = ("TOPIC", "MESSAGES", "SUBSCRIBERS", "LAST")


@click.command()
@click.option("--mine", is_flag=True, help="Only those that reach you.")
@json_option
def topics(mine: bool) -> None:
    """List the topics, with their volume."""
    with open_bus() as bus:
        found = bus.topics.all(mine=mine)
    if out.as_json:
        out.json({"ok": True, "topics": [vars(topic) for topic in found]})
        return
    rows = [
        (one.topic, str(one.messages), str(one.subscribers), age(one.last) if one.last else "")
        for one in found
    ]
    for line in columns(_HEAD, rows):
        out.line(line)
    if not found:
        out.line("no topics")


@click.command()
@click.argument("topic")
@json_option
def sub(topic: str) -> None:
    """Receive what is posted to TOPIC from now on.

    * stands for one word, > at the end for one or more: build.*, 'build.>' (in quotes).
    """
    with open_bus() as bus:
        changed = bus.topics.subscribe(topic)
        name = bus.name
    words = "subscribed to" if changed else "had subscribed to"
    out.result({"topic": topic, "name": name, "changed": changed}, f"{name} {words} {topic}")


@click.command()
@click.argument("topic")
@json_option
def unsub(topic: str) -> None:
    """End a subscription. What has come stays unread."""
    with open_bus() as bus:
        changed = bus.topics.unsubscribe(topic)
        name = bus.name
    words = "no longer receives" if changed else "did not receive"
    out.result({"topic": topic, "name": name, "changed": changed}, f"{name} {words} {topic}")


@click.command()
@click.argument("topic")
@click.argument("text", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The text, byte for byte.",
)
@click.option("-t", "--tag", "tags", multiple=True, help="A tag. Repeat the option for several.")
@click.option("--urgent", is_flag=True, help="First in every inbox.")
@click.option("--fyi", is_flag=True, help="Last in every inbox.")
@json_option
def pub(topic: str, text: str | None, file: Path | None, **fields: Any) -> int:
    """Post TEXT to TOPIC: the same as bus post topic:TOPIC."""
    fields["priority"] = priority_of(fields.pop("urgent"), fields.pop("fyi"))
    body = read_text(text, file)
    with open_bus() as bus:
        return tell(bus.post(body, to=f"topic:{topic.removeprefix('topic:')}", **fields))
