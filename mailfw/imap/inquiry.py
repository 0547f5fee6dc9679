"""One searching command on one mailbox, from its key to its answer; SEARCH, SORT and ESEARCH are such commands."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mailfw.errors import Refusal
from mailfw.imap.contexts import Context
from mailfw.imap.grammar.response import Reply, no
from mailfw.imap.grammar.search import Fuzzy, Key
from mailfw.imap.grammar.searching import Return, Returns
from mailfw.imap.grammar.tokens import BadSyntax
from mailfw.imap.matching import criterion, hasKey, matching
from mailfw.imap.ordering import ordered, relevance
from mailfw.imap.results import Results, chosen, correlator, numbered
from mailfw.imap.selected import SelectedMailbox
from mailfw.message.criteria import ModSeq
from mailfw.message.sort import Kind, SortKey
from mailfw.values import Column, UIDSet

if TYPE_CHECKING:
    from mailfw.imap.session import Session

MAX_SAVED = 1_000_000
"""Messages that `$` can stand for: 4 MB."""


class Inquiry:
    """What a client wants to know about the messages of a mailbox.

    :ivar wanted: the key with the session's part put in.
    :param order: how the results are sorted; nothing is the order of the mailbox.
    :raises BadSyntax: what is to be returned cannot be.
    """

    def __init__(
        self,
        session: Session,
        view: SelectedMailbox,
        key: Key,
        isUID: bool,
        returns: Returns | None,
        order: Sequence[SortKey] = (),
    ) -> None:
        self._session = session
        self._view = view
        self._isUID = isUID
        self._returns = returns
        self._order = tuple(order)
        self._hasModSeq = hasKey(key, ModSeq)
        self._wantsScores = returns is not None and Return.RELEVANCY in returns
        self._needsScores = self._wantsScores or any(each.kind is Kind.RELEVANCY for each in order)
        if self._needsScores and not hasKey(key, Fuzzy):
            raise BadSyntax("RELEVANCY is of FUZZY searches only")
        if returns is not None and Return.UPDATE in returns and session.tag in view.contexts:
            raise BadSyntax("the tag belongs to a search that is still followed")
        self.wanted = criterion(key, view)

    async def answer(self, word: bytes, reply: Reply) -> Reply:
        """Search, and send what the client wants to know.

        :param word: how the response without RETURN is called.
        :param reply: how the command ends when nothing is in the way.
        """
        returns, session = self._returns, self._session
        if returns is None:
            await session.send((await self.results()).plain(word))
            return reply
        try:
            results = await self.results()
        except Refusal:
            if Return.SAVE in returns:
                self._view.saved = array("I")
            raise
        if returns.options != {Return.SAVE}:
            await session.send(results.extended(returns, correlator(session.tag), self._isUID))
        self.follow(results.uids)
        return self.save(results.uids) or reply

    async def results(self) -> Results:
        """What is found, in its order."""
        session, view = self._session, self._view
        uids = await matching(session, view, self.wanted)
        scores = await relevance(session, view, self.wanted, uids) if self._needsScores else {}
        if self._order:
            uids = await ordered(session, view, self._order, uids, scores)
        modSeq = 0
        if self._hasModSeq and uids:
            modSeq = await self._highestModSeq(uids if self._returns is None else chosen(self._returns, uids))
        name: Callable[[Iterable[int]], Iterable[int]] = iter if self._isUID else partial(numbered, view.uids)
        return Results(uids, name, [scores.get(uid, 1) for uid in uids] if self._wantsScores else (), modSeq)

    def save(self, uids: array[int]) -> Reply | None:
        """Remember results for `$`, where the client asked for that; → the reply where that cannot be done."""
        if self._returns is None or Return.SAVE not in self._returns:
            return None
        found = array("I", sorted(set(chosen(self._returns, uids))))
        if len(found) > MAX_SAVED:
            self._view.saved = array("I")
            return no("too much was found to be saved", b"NOTSAVED")
        self._view.saved = found
        return None

    def follow(self, uids: array[int]) -> None:
        """Tell of changes to the results from now on, where the client asked for that."""
        if self._returns is None or Return.UPDATE not in self._returns:
            return
        context = Context(self._session.tag, self._isUID, self.wanted, self._order, uids)
        if not self._view.contexts.add(context):
            refuseUpdates(self._session)

    async def _highestModSeq(self, uids: array[int]) -> int:
        highest = [0]
        rows = self._view.mailbox.rows(UIDSet.fromUIDs(uids), (Column.MODSEQ,), lambda rows: [max(row[0] for row in rows)])
        await self._session.walk(rows, highest.extend)
        return max(highest)


def refuseUpdates(session: Session) -> None:
    """`resp-text-code =/ "NOUPDATE" SP quoted` (RFC 5267 §5)"""
    session.channel.write(no("this search is not followed", b'NOUPDATE "%b"' % session.tag).render())
