-- What the records of the log mean, for queries. Disposable: made anew from the log whenever it is in doubt.
-- A change here raises SCHEMA in database.py, which makes every hub rebuild its index at the next start.

CREATE TABLE place (                      -- how far the log has been applied: one row
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    token TEXT NOT NULL,
    messages INTEGER NOT NULL,
    damaged INTEGER NOT NULL
);
INSERT INTO place VALUES (1, 0, '', 0, 0);

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    sender TEXT NOT NULL,
    thread TEXT,
    expires_ms INTEGER,                   -- Unix time; NULL: never
    json TEXT NOT NULL                    -- as it is shown to callers
);
CREATE UNIQUE INDEX messages_by_id ON messages (id);
CREATE INDEX messages_by_sender ON messages (sender, seq);
CREATE INDEX messages_by_thread ON messages (thread, seq) WHERE thread IS NOT NULL;

CREATE TABLE old_ids (                    -- of imported messages: the id in the bus they came from, see drafts.old_key
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE inbox (                      -- a row for each name in `to`; 'any' for a broadcast
    recipient TEXT NOT NULL,
    lasting INTEGER NOT NULL,             -- 0: it expires
    seq INTEGER NOT NULL,
    PRIMARY KEY (recipient, lasting, seq)
) WITHOUT ROWID;

CREATE TABLE ranked (                     -- the rows of inbox again, by priority
    recipient TEXT NOT NULL,
    priority TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (recipient, priority, seq)
) WITHOUT ROWID;

CREATE TABLE expiring (                   -- a tree over the rows with lasting = 0, so that dead ones are never walked over: see expiring.py
    recipient TEXT NOT NULL,
    level INTEGER NOT NULL,               -- 0: place is a seq; n: a stretch of 64**n seqs
    place INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,            -- the latest deadline in it
    PRIMARY KEY (recipient, level, place)
) WITHOUT ROWID;

CREATE TABLE tags (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) WITHOUT ROWID;

CREATE TABLE settled (                    -- no message of that kind with lo <= seq <= hi is unread by reader; as few ranges as can be
    reader TEXT NOT NULL,
    lasting INTEGER NOT NULL,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    PRIMARY KEY (reader, lasting, lo)
) WITHOUT ROWID;

CREATE TABLE acks (
    seq INTEGER NOT NULL,
    reader TEXT NOT NULL,
    ts TEXT NOT NULL,
    PRIMARY KEY (seq, reader)
) WITHOUT ROWID;

CREATE TABLE acks_through (               -- everything up to seq
    reader TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ts TEXT NOT NULL,
    PRIMARY KEY (reader, seq)
) WITHOUT ROWID;
CREATE INDEX acks_through_by_seq ON acks_through (seq, reader);

CREATE TABLE agents (                     -- every name that has sent or acknowledged, when it last did, and the seq of the first time
    name TEXT PRIMARY KEY,
    ts TEXT NOT NULL,
    since INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE ackers (                     -- the last acknowledgement of each reader
    reader TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE unique_keys (
    key TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    digest TEXT NOT NULL,
    json TEXT                             -- the record, where it is no message
) WITHOUT ROWID;

CREATE TABLE calls (                      -- exec, files, containers: what was asked, and how it ended
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    sender TEXT NOT NULL,
    asked TEXT NOT NULL,
    done TEXT
) WITHOUT ROWID;
CREATE INDEX calls_running ON calls (seq) WHERE done IS NULL;

CREATE TABLE rules (                      -- the last word on each source, target and action
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    action TEXT NOT NULL,
    lasting INTEGER NOT NULL,             -- 0: it expires, and then the lasting one holds again
    seq INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (source, target, action, lasting)
) WITHOUT ROWID;

CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    auth TEXT NOT NULL,
    digest TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT,
    used TEXT
) WITHOUT ROWID;
CREATE INDEX approvals_by_request ON approvals (auth, digest, seq);
CREATE INDEX approvals_by_caller ON approvals (auth, seq);
CREATE INDEX approvals_by_seq ON approvals (seq);

CREATE TABLE owners (                     -- who has a name now: nothing from before is theirs
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                 -- of the record that gave it last, or took it
    tenure INTEGER NOT NULL,              -- of the record that ended the last one who had it; 0: nobody had it before
    held INTEGER NOT NULL                 -- 1: somebody has it
) WITHOUT ROWID;

CREATE TABLE machines (                   -- every name that a machine has or had: never the shared user's again
    name TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE invited (                    -- names with an open invite: see joining.py
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                 -- of the record of the first of those that are open
    until_ms INTEGER NOT NULL             -- when the last of them ends
) WITHOUT ROWID;

CREATE TABLE provisional (                -- what others acknowledge under a name that is invited: void when it joins
    reader TEXT NOT NULL,
    through INTEGER NOT NULL,             -- 1: a row of acks_through; 0: of acks
    seq INTEGER NOT NULL,
    made INTEGER NOT NULL,                -- seq of the acknowledgement's own record
    PRIMARY KEY (reader, through, seq)
) WITHOUT ROWID;

CREATE TABLE settled_before (             -- the rows of settled as they were before the first of those
    reader TEXT NOT NULL,
    lasting INTEGER NOT NULL,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    PRIMARY KEY (reader, lasting, lo)
) WITHOUT ROWID;

CREATE TABLE floors (                     -- no broadcast before seq is for this name, or ("web1/") for any session of it
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (                     -- the feed, but for messages; a call stands where its last record stands
    seq INTEGER PRIMARY KEY,
    ms INTEGER NOT NULL,
    type TEXT NOT NULL,
    sender TEXT NOT NULL,
    auth TEXT NOT NULL,
    target TEXT NOT NULL,
    json TEXT NOT NULL
);

CREATE INDEX events_by_time ON events (ms);
CREATE INDEX events_by_type ON events (type, seq);
CREATE INDEX events_by_sender ON events (sender, seq);
CREATE INDEX events_by_auth ON events (auth, seq);
CREATE INDEX events_by_target ON events (target, seq);

CREATE TABLE damage (
    segment INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (segment, end_offset)
) WITHOUT ROWID;

CREATE VIEW texts AS SELECT seq, json_extract(json, '$.body') AS body FROM messages;
CREATE VIRTUAL TABLE words USING fts5 (body, content = 'texts', content_rowid = 'seq');
