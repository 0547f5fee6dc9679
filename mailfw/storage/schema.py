"""The tables of a store. One schema serves the store that keeps bytes in its rows and the state beside a simple store.

- `account`: MODSEQ is the last number used in the account; uid_validity the highest given in it.
- `name`: what is remembered of a mailbox name whether or not there is such a mailbox: the highest UIDVALIDITY that a mailbox had
  which is gone from it (in older files, or which is there still), whether it is subscribed to, the MODSEQ at which it last came,
  went, or changed its name or subscription.
- `mailbox`: its counters are those of its rows in `message`, always. name is NULL once it was deleted and its rows wait to be
  cleared away. `token` is the simple store's mark of the last complete scan, behind a `=`; empty: there was none.
- `email` 1—n `message`: `email` is a content with all that is derived from it; `copies` counts the rows of `message` and
  `expunged` that point to it. `format` says by which version of the message room envelope, structure and the other derived
  columns were computed; another version, or none, is computed again when it is asked for. `fields` are the texts of the header
  that people search (`message.fields`). `preview` is made of a message when somebody wants it, and kept for as long as the
  version stands.
- `content`: the octets, in their own table so that no scan of metadata walks over bodies. The header comes first, so that
  reading it touches no page of the body. `sharing` counts the emails that share one content, where there are more than one.
- `thread`: (account, digest of message-id and base subject) → thread.
- `vanished`: UIDs that went, in ranges. mailbox.vanished_floor is the MODSEQ below which the log has been cut.
- `expunged`: messages that went, still readable until `until`.
- `rights`: what others may do in a mailbox (RFC 4314), the letters of their rights; the owner's are not written down.
- `annotation`: metadata (RFC 5464). mailbox is 0 for what is about an account as a whole, and account too for what the server
  shares with all; owner is whose private entry it is, empty for a shared one. modseq is the account's when it was set; value is
  NULL when it was removed then, which is remembered for a while.
- account.quota_octets, quota_messages and quota_mailboxes: limits that an administrator set here, -1 being none; NULL, all of
  them: those of the source of accounts count.
- `file`: where a simple store keeps a message; `intent`: what was under way there.
"""

from __future__ import annotations

from mailfw.sql import Migration, Schema

_FIRST = (
    """CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)""",
    """CREATE TABLE account (
        id {identity}, name TEXT NOT NULL UNIQUE, modseq INTEGER NOT NULL, uid_validity INTEGER NOT NULL,
        messages INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE name (
        account INTEGER NOT NULL, name TEXT NOT NULL, modseq INTEGER NOT NULL, uid_validity INTEGER NOT NULL DEFAULT 0,
        subscribed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (account, name)) {clustered}""",
    """CREATE TABLE mailbox (
        id {identity}, account INTEGER NOT NULL, name TEXT, uid_validity INTEGER NOT NULL, uid_next INTEGER NOT NULL DEFAULT 1,
        modseq INTEGER NOT NULL, messages INTEGER NOT NULL DEFAULT 0, unseen INTEGER NOT NULL DEFAULT 0,
        deleted INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0, special_use TEXT NOT NULL DEFAULT '',
        recent INTEGER NOT NULL DEFAULT 1, vanished_floor INTEGER NOT NULL DEFAULT 0, token TEXT NOT NULL DEFAULT '')""",
    """CREATE UNIQUE INDEX mailbox_name ON mailbox (account, name)""",
    """CREATE INDEX mailbox_cleared ON mailbox (id) WHERE name IS NULL""",
    """CREATE TABLE email (
        id {identity}, account INTEGER NOT NULL, content INTEGER NOT NULL, copies INTEGER NOT NULL, size INTEGER NOT NULL,
        thread INTEGER NOT NULL, digest TEXT NOT NULL, format INTEGER NOT NULL, header_size INTEGER NOT NULL,
        message_id TEXT NOT NULL, refs TEXT NOT NULL, subject TEXT NOT NULL, sent_date REAL, envelope {octets},
        structure {octets})""",
    """CREATE TABLE content (
        id INTEGER PRIMARY KEY, encoding INTEGER NOT NULL, header {octets} NOT NULL, body {octets} NOT NULL)""",
    """CREATE INDEX content_blob ON content (body) WHERE encoding = 2""",
    """CREATE TABLE sharing (content INTEGER PRIMARY KEY, emails INTEGER NOT NULL)""",
    """CREATE TABLE thread (
        account INTEGER NOT NULL, digest INTEGER NOT NULL, thread INTEGER NOT NULL,
        PRIMARY KEY (account, digest)) {clustered}""",
    """CREATE TABLE message (
        mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL, flags INTEGER NOT NULL, keywords TEXT NOT NULL,
        internal_date REAL NOT NULL, save_date REAL NOT NULL, size INTEGER NOT NULL, email INTEGER NOT NULL,
        PRIMARY KEY (mailbox, uid)) {clustered}""",
    """CREATE INDEX message_modseq ON message (mailbox, modseq)""",
    """CREATE TABLE keyword (
        account INTEGER NOT NULL, folded TEXT NOT NULL, mailbox INTEGER NOT NULL, name TEXT NOT NULL,
        PRIMARY KEY (account, folded, mailbox)) {clustered}""",
    """CREATE INDEX keyword_mailbox ON keyword (mailbox)""",
    """CREATE TABLE vanished (
        mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
        PRIMARY KEY (mailbox, modseq, low)) {clustered}""",
    """CREATE TABLE expunged (
        mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, email INTEGER NOT NULL, until REAL NOT NULL,
        PRIMARY KEY (mailbox, uid)) {clustered}""",
    """CREATE INDEX expunged_until ON expunged (until)""",
    """CREATE TABLE file (
        mailbox INTEGER NOT NULL, name TEXT NOT NULL, uid INTEGER NOT NULL, locator TEXT NOT NULL,
        PRIMARY KEY (mailbox, name)) {clustered}""",
    """CREATE UNIQUE INDEX file_uid ON file (mailbox, uid)""",
    """CREATE TABLE intent (id {identity}, account INTEGER NOT NULL, plan TEXT NOT NULL)""",
    """CREATE INDEX intent_account ON intent (account)""",
)

_SECOND = (
    """CREATE INDEX message_email ON message (email)""",
    """ALTER TABLE email ADD COLUMN fields TEXT""",
    """ALTER TABLE email ADD COLUMN preview TEXT""",
    """ALTER TABLE account ADD COLUMN quota_octets INTEGER""",
    """ALTER TABLE account ADD COLUMN quota_messages INTEGER""",
    """ALTER TABLE account ADD COLUMN quota_mailboxes INTEGER""",
    """CREATE TABLE rights (
        mailbox INTEGER NOT NULL, identifier TEXT NOT NULL, rights TEXT NOT NULL,
        PRIMARY KEY (mailbox, identifier)) {clustered}""",
    """CREATE INDEX rights_identifier ON rights (identifier)""",
    """CREATE TABLE annotation (
        account INTEGER NOT NULL, mailbox INTEGER NOT NULL, owner TEXT NOT NULL, entry TEXT NOT NULL, value {octets},
        modseq INTEGER NOT NULL, PRIMARY KEY (account, mailbox, owner, entry)) {clustered}""",
)

SCHEMA = Schema("store", (Migration(_FIRST), Migration(_SECOND)))
