"""The queue's tables."""

from __future__ import annotations

from mailfw.sql import Migration, Schema

SCHEMA = Schema(
    "queue",
    (
        Migration(
            (
                "CREATE TABLE content (id {identity}, octets {octets} NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL)",
                """CREATE TABLE message (
                    id {identity}, content INTEGER NOT NULL, arrived REAL NOT NULL, sender TEXT, account TEXT NOT NULL,
                    is_utf8 INTEGER NOT NULL, is_8bit INTEGER NOT NULL, requires_tls INTEGER NOT NULL, returns TEXT NOT NULL,
                    envelope_id TEXT NOT NULL, priority INTEGER NOT NULL, deliver_by REAL, by_mode TEXT NOT NULL,
                    release_at REAL NOT NULL)""",
                "CREATE INDEX message_content ON message (content)",
                """CREATE TABLE recipient (
                    id {identity}, message INTEGER NOT NULL, local TEXT NOT NULL, domain TEXT NOT NULL, lane TEXT NOT NULL,
                    target TEXT NOT NULL, notify TEXT NOT NULL, original TEXT NOT NULL, due REAL, owner TEXT NOT NULL,
                    attempts INTEGER NOT NULL, tried REAL NOT NULL, is_warned INTEGER NOT NULL, status TEXT NOT NULL,
                    reply TEXT NOT NULL, host TEXT NOT NULL)""",
                "CREATE INDEX recipient_message ON recipient (message)",
                "CREATE INDEX recipient_domain ON recipient (domain)",
                "CREATE INDEX recipient_lane ON recipient (lane, due) WHERE due IS NOT NULL",
                "CREATE TABLE lane (name TEXT PRIMARY KEY, due REAL NOT NULL) {clustered}",
                "CREATE INDEX lane_due ON lane (due)",
            )
        ),
    ),
)
