"""Any order of posts and faults, against a simple model: what was acknowledged is there, once, in
order.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bus.errors import BusError, NoRoom, StorageFailed, Unconfirmed
from bus.log.jsonl import files, inspection
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.engine import JsonlLog
from bus.model.records import START, Position
from tests.log.faulty import FaultyDisk, Killed
from tests.log.folder import draft, reboot, records_on_disk

# A small set of keys, so that many posts are repeats; None: no key.
KEYS = st.sampled_from([None, None, "k1", "k2", "k3", "k4"])
BATCHES = st.lists(st.tuples(KEYS, st.integers(0, 300)), min_size=0, max_size=4)
WHO = st.integers(0, 1)


class LogMachine(RuleBasedStateMachine):
    """Two processes on one folder, whose disk fails, whose lives end at any byte, and whose machine
    loses power.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="log-model-"))
        self.logs: list[JsonlLog] = []
        self.disks: list[FaultyDisk] = []
        self.acknowledged: dict[int, str] = {}  # seq -> body
        self.by_key: dict[str, int] = {}  # key -> seq of an acknowledged record
        self.tried: set[str] = set()
        self.places: list[Position] = [START]
        self.count = 0

    @initialize()
    def start(self) -> None:
        for _ in range(2):
            self.disks.append(FaultyDisk())
            self.logs.append(self.opened(self.disks[-1]))

    def teardown(self) -> None:
        for log in self.logs:
            log.close()
        shutil.rmtree(self.folder)

    def opened(self, disk: FaultyDisk) -> JsonlLog:
        return JsonlLog(
            self.folder / "data", disk=disk, lock_timeout_s=0.2, segment_max_bytes=3_000
        )

    # -- what may happen -------------------------------------------------------------------------

    @rule(who=WHO, batch=BATCHES)
    def post(self, who: int, batch: list[tuple[str | None, int]]) -> None:
        drafts = self.drafts(batch)
        try:
            self.note(drafts, self.logs[who].append(drafts))
        except StorageFailed:
            assert self.logs[who].failed()

    @rule(who=WHO, batch=BATCHES, room=st.integers(0, 900), tidy=st.booleans())
    def post_on_a_full_disk(
        self, who: int, batch: list[tuple[str | None, int]], room: int, tidy: bool
    ) -> None:
        disk, drafts = self.disks[who], self.drafts(batch)
        disk.room = room
        disk.errors = {} if tidy else {"overwrite": errno.ENOSPC}
        try:
            self.note(drafts, self.logs[who].append(drafts))
        except (NoRoom, StorageFailed, Unconfirmed) as error:
            assert self.logs[who].failed() == isinstance(error, StorageFailed)
        finally:
            disk.room, disk.errors = None, {}

    @rule(who=WHO, batch=BATCHES, fault=st.sampled_from(["write", "sync", "sync_folder"]))
    def post_on_a_broken_disk(
        self, who: int, batch: list[tuple[str | None, int]], fault: str
    ) -> None:
        disk, drafts = self.disks[who], self.drafts(batch)
        disk.errors = {fault: errno.EIO}
        try:
            self.note(drafts, self.logs[who].append(drafts))
        except StorageFailed:
            assert all(log.failed() for log in self.logs)
        finally:
            disk.errors = {}

    @rule(
        who=WHO,
        batch=BATCHES,
        fault=st.sampled_from(["write", "sync", "sync_folder", "overwrite"]),
        done=st.integers(0, 900),
    )
    def post_and_be_killed(
        self, who: int, batch: list[tuple[str | None, int]], fault: str, done: int
    ) -> None:
        disk, drafts = self.disks[who], self.drafts(batch)
        disk.dies_in = {fault: done}
        try:
            self.note(drafts, self.logs[who].append(drafts))
        except (Killed, BusError):
            pass
        finally:
            disk.dies_in = {}
        self.begin_anew(who)

    @rule(who=WHO)
    def begin_anew(self, who: int) -> None:
        self.logs[who].close()
        self.logs[who] = self.opened(self.disks[who])

    @rule(kept=st.floats(0, 1), zeros=st.integers(0, 5_000))
    def lose_power(self, kept: float, zeros: int) -> None:
        """Of what was not synced a part remains, perhaps with blocks behind it that were never
        written.
        """
        for log in self.logs:
            log.close()
        active = self.folder / "data" / files.ACTIVE
        status = active.stat()
        synced = max(disk.synced_sizes.get(status.st_ino, 0) for disk in self.disks)
        if status.st_size > synced:
            with open(active, "r+b") as file:
                file.truncate(synced + int(kept * (status.st_size - synced)))
                file.truncate(min(status.st_size, file.seek(0, 2) + zeros))
        reboot(self.folder / "data")
        for who in range(2):
            self.logs[who] = self.opened(self.disks[who])

    @rule(who=WHO)
    def restart_the_hub(self, who: int) -> None:
        self.logs[who].restore()
        assert not self.logs[who].failed()

    @rule()
    def compress_a_sealed_file(self) -> None:
        for path in list(files.sealed(self.folder / "data").values())[:1]:
            if path.suffix != ".gz":
                files.compress(path, Disk())

    @rule(who=WHO)
    def remember_a_place(self, who: int) -> None:
        self.places += [place for place, _ in self.logs[who].read()][-1:]

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def every_reader_sees_what_was_acknowledged_once_and_in_order(self) -> None:
        for log in self.logs:
            found = [record for _, record in log.read()]
            assert [record["seq"] for record in found] == list(range(1, log.position().seq + 1))
            messages = {
                record["seq"]: record["body"] for record in found if record["kind"] == "message"
            }
            assert self.acknowledged.items() <= messages.items()
            assert set(messages.values()) <= self.tried
            assert len(set(messages.values())) == len(messages)

    @invariant()
    def reading_goes_on_from_any_place(self) -> None:
        for log in self.logs:
            for place in self.places[-3:]:
                if log.holds(place):
                    seqs = [record["seq"] for _, record in log.read(place)]
                    assert seqs == list(range(place.seq + 1, log.position().seq + 1))

    @invariant()
    def what_is_read_verifies(self) -> None:
        if self.logs:
            assert inspection.verify(self.folder / "data").is_clean()

    # ----------------------------------------------------------------------------------------------

    def drafts(self, batch: list[tuple[str | None, int]]) -> list[dict[str, Any]]:
        made = []
        for key, length in batch:
            self.count += 1
            made.append(draft(f"{key or 'none'}:{self.count}:" + "x" * length, key=key))
        self.tried |= {one.fields["body"] for one in made}
        return made

    def note(self, drafts: list[dict[str, Any]], results: list[Any]) -> None:
        """Acknowledged: a repeat is answered with the first record, and so is every later one."""
        for one, result in zip(drafts, results, strict=True):
            seq, key = result.record["seq"], one.fields.get("client_id")
            self.acknowledged[seq] = result.record["body"]
            assert result.replayed == (result.record["body"] != one.fields["body"])
            if key is not None:
                assert self.by_key.setdefault(key, seq) == seq


class CalmEnd(LogMachine):
    """The same, and at the end everything calms down: then one more post leaves strict JSON lines
    behind.
    """

    def teardown(self) -> None:
        if self.logs:
            self.restart_the_hub(0)
            self.logs[0].append([draft("the end")])
            records_on_disk(self.folder / "data")
        super().teardown()


TestLog = CalmEnd.TestCase
TestLog.settings = settings(
    max_examples=120, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
