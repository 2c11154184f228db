"""What the `bus` command can do: each command with its module, what it is for on one line, and two
examples.

Read for `bus --help` without loading a module; a test holds the examples against the commands, and
each line against a width.
"""

from __future__ import annotations

from busclient._cli.catalogue_here import HERE, Entry

GROUPS = {
    "Messages": {
        "post": Entry(
            "posting",
            "Post a message to a name, to several, or to everybody",
            (
                'bus post bob "the build is green" --tag build',
                "make 2>&1 | tail -20 | bus post bob,carol --urgent --text chas",
            ),
        ),
        "reply": Entry(
            "posting",
            "Answer a message to its sender, in its thread",
            ('bus reply 412 "done"', "bus reply 412.k7f3 'on it' --ack"),
        ),
        "forward": Entry(
            "posting",
            "Pass a message on",
            ("bus forward 412 --to db1,web1", 'bus forward 412 --to role:deployer "yours?"'),
        ),
        "inbox": Entry(
            "reading", "List what is unread, oldest first", ("bus inbox", "bus inbox --full --ack")
        ),
        "read": Entry(
            "reading", "Show one message whole", ("bus read 412", "bus read 412.k7f3 --receipts")
        ),
        "trace": Entry(
            "tracking", "Show how far a message has come", ("bus trace 412", "bus trace 412 --json")
        ),
        "retract": Entry(
            "tracking", "Take back a message of yours", ("bus retract 412", "bus retract 01K0")
        ),
        "overdue": Entry(
            "tracking",
            "List what should have been acknowledged by now",
            ("bus overdue --mine", "bus overdue --reader db1"),
        ),
        "ack": Entry(
            "acking",
            "Say that you are done with messages",
            ("bus ack 412.k7f3 413", "bus ack --all"),
        ),
        "star": Entry(
            "starring",
            "Star messages, to find them again; list them",
            ("bus star 412", "bus star 412 --off"),
        ),
        "log": Entry(
            "reading",
            "Show history, oldest first",
            ("bus log --limit 10", "bus log --from web1 --tag deploy"),
        ),
        "search": Entry(
            "reading",
            "Find messages by their words, newest first",
            ("bus search smoke tests", "bus search 'deploy*' --from web1"),
        ),
        "watch": Entry(
            "waiting",
            "Show messages as they come, until interrupted",
            ("bus watch --mine", "bus watch --tag ci"),
        ),
        "wait": Entry(
            "waiting",
            "Wait until there is unread mail, and show it",
            ("bus wait", "bus wait --timeout 15m"),
        ),
        "drain": Entry(
            "draining",
            "Hand each unread message to a command; for cron",
            (
                "bus drain --exec ./on-message",
                "bus drain --exec ./on-message --max 10 --timeout 2m",
            ),
        ),
        "mirror": Entry(
            "mirroring",
            "Keep a folder of files in step with your briefs",
            ("bus mirror ~/mail", "bus mirror ~/mail --once"),
        ),
        "import": Entry(
            "importing",
            "Bring over settings and mail of ClaudeMail",
            ("bus import claudemail", "bus import claudemail --apply"),
        ),
        "relay": Entry(
            "relaying",
            "Send the hub's notices as iMessages, on a Mac",
            ("bus relay imessage", "bus relay imessage --once"),
        ),
        "poll": Entry(
            "polling",
            "Show what is unread, for a hook at session start",
            ("bus poll", "bus poll --budget 6000"),
        ),
        "handoff": Entry(
            "polling",
            "Write a handoff for the next session",
            ("bus handoff notes.md", "echo 'all green' | bus handoff --to web1"),
        ),
    },
    "Work": {
        "brief": Entry(
            "briefing",
            "Post a brief: markdown with front matter",
            ("bus brief plan.md", "bus brief plan.md --to db1 --action 'review it'"),
        ),
        "action": Entry(
            "briefing",
            "List what is to be done; add, claim, change or close it",
            ("bus action", 'bus action done 5 "--note=merged"'),
        ),
        "digest": Entry(
            "briefing",
            "Sum up what is unread and what you have to do",
            ("bus digest", "bus digest --ack --budget 2000"),
        ),
        "signature": Entry(
            "briefing",
            "Have your briefs signed with a line",
            ("bus signature '// alpha, over'", "bus signature --off"),
        ),
        "checkup": Entry(
            "checking", "Show what is stuck", ("bus checkup", "bus checkup --stale 24h")
        ),
        "ask": Entry(
            "asking",
            "Ask a question that stays open until it is answered",
            (
                'bus ask db1,web1 "Deploy now?" -o yes -o no --by 10m --default no',
                'bus ask role:deployer "Which version runs?" --wait 5m',
            ),
        ),
        "answer": Entry(
            "asking",
            "Answer a question",
            ('bus answer 412 yes "all green"', 'bus answer 413 "1.3, since noon"'),
        ),
        "decline": Entry(
            "asking",
            "Say that you will not answer, and why",
            ('bus decline 412 "not my service"', "bus decline 412 away --json"),
        ),
        "withdraw": Entry(
            "asking", "Take back a question of yours", ("bus withdraw 412", "bus withdraw 01K0")
        ),
        "asks": Entry(
            "asking",
            "Show what you have yet to answer, and what you have asked",
            ("bus asks --owed", "bus asks 412"),
        ),
    },
    "Files": {
        "send": Entry(
            "attaching",
            "Send files of any size with a message",
            ('bus send build.zip bob "Build dropped"', "bus send shot1.png shot2.png any"),
        ),
        "share": Entry(
            "sharing",
            "Put a file where others reach it, and post where it is",
            ("bus share build.zip db1", "bus share build.zip any --via scp:ovh5:/opt/files"),
        ),
        "get": Entry(
            "sharing", "Fetch the files of a message", ("bus get 412", "bus get 412 -o ~/Downloads")
        ),
        "lease": Entry(
            "leasing",
            "Say that you work on files of a repository",
            ("bus lease src/auth docs/auth.md --reason 'the new login'", "bus lease 'src/**/*.py'"),
        ),
        "unlease": Entry(
            "leasing", "End a lease of yours", ("bus unlease src/auth", "bus unlease --all")
        ),
        "leases": Entry(
            "leasing", "List who works on which files", ("bus leases", "bus leases --all --mine")
        ),
        "guard": Entry(
            "guarding",
            "Refuse commits of files that others work on",
            ("bus guard install", "bus guard status"),
        ),
    },
    "Topics": {
        "topics": Entry(
            "topics", "List the topics, with their volume", ("bus topics", "bus topics --mine")
        ),
        "sub": Entry(
            "topics", "Receive what is posted to a topic", ("bus sub deploys", "bus sub 'build.>'")
        ),
        "unsub": Entry(
            "topics", "End a subscription", ("bus unsub deploys", "bus unsub 'build.>'")
        ),
        "pub": Entry(
            "topics",
            "Post to a topic",
            ('bus pub deploys "1.3 is live"', "make 2>&1 | tail -3 | bus pub build.linux"),
        ),
    },
    "Agents": {
        "agents": Entry(
            "agents",
            "List who is there: machines and their sessions",
            ("bus agents", "bus agents --scope repo --state live"),
        ),
        "role": Entry(
            "roles", "List the roles; claim or release one", ("bus role", "bus role claim deployer")
        ),
        "expect": Entry(
            "expecting", "Tell when a name is silent", ("bus expect web1 --every 15m", "bus expect")
        ),
        "webhook": Entry(
            "webhooks",
            "Have mail sent to an address; list, test, replay, remove",
            ("bus webhook add https://hooks.example.org/bus", "bus webhook test 01K0"),
        ),
        "peers": Entry(
            "agents", "The same as `bus agents`", ("bus peers", "bus peers --scope directory")
        ),
        "kill-broker": Entry(
            "broker",
            "End the listener for peers; the hub starts it again",
            ("bus kill-broker", "bus kill-broker --json"),
        ),
        "whoami": Entry(
            "agents", "Say which name you have here", ("bus whoami", "bus whoami --json")
        ),
    },
    "Machines": {
        "machines": Entry(
            "fleet", "List every name that the hub knows", ("bus machines", "bus machines --json")
        ),
        "exec": Entry(
            "executing",
            "Run a command in another machine; it stands after --",
            (
                "bus exec db1 -- systemctl status postgresql",
                "bus exec db1 -c 'df -h | tail -3' --timeout 10s",
            ),
        ),
        "call": Entry(
            "executing",
            "Say how a command is, and what it gave",
            ("bus call 01K0 --wait 5m", "bus call 01K0 --end"),
        ),
        "cat": Entry(
            "files",
            "Show a file of another machine",
            ("bus cat db1:/etc/hostname", "bus cat db1:/var/log/syslog --offset 1000"),
        ),
        "put": Entry(
            "files",
            "Write a file of another machine, whole or not at all",
            ("bus put db1:/etc/motd motd.txt", "echo hello | bus put db1:/etc/note --mode 600"),
        ),
        "permissions": Entry(
            "permitting",
            "List what is allowed and denied",
            ("bus permissions --target db1", "bus permissions --check web1 db1 exec"),
        ),
        "activity": Entry(
            "fleet",
            "Show what happened in the fleet",
            ("bus activity --hours 2", "bus activity --follow"),
        ),
        "stats": Entry(
            "stats", "Show what the hub counts and measures", ("bus stats", "bus stats --all")
        ),
    },
    "Admin": {
        "permit": Entry(
            "permitting",
            "Let a machine run commands and use files in another",
            (
                "bus permit web1 db1 --action exec --expires 2h",
                "bus permit web1 db1 --command 'systemctl status'",
            ),
        ),
        "revoke": Entry(
            "permitting",
            "Deny it again",
            ("bus revoke web1 db1", "bus revoke web1 db1 --action file_write"),
        ),
        "approve": Entry(
            "approving",
            "List the questions that wait for a yes; answer them",
            ("bus approve", "bus approve 01K0 --expires 5m"),
        ),
        "container": Entry(
            "fleet",
            "List, start, stop, snapshot and restore containers",
            ("bus container list", "bus container stop db1"),
        ),
        "invite": Entry(
            "inviting",
            "Print a line that makes a machine a member",
            ("bus invite web2", "bus invite web2 --expires 1h --draft"),
        ),
        "notices": Entry(
            "notices",
            "List what was told to Telegram and others",
            ("bus notices --state dead", "bus notices retry 17"),
        ),
        "credential": Entry(
            "inviting",
            "List credentials; rotate or revoke one",
            ("bus credential list", "bus credential revoke web2"),
        ),
    },
    **HERE,
}

COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}
