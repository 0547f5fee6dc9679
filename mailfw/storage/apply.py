"""From operations to what they do: the one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from attrs import frozen

from mailfw.errors import NotSupported
from mailfw.sql.blobs import IBlobStore
from mailfw.storage import adoption, messages, metadata, quota, rights, tree
from mailfw.storage.content import Arriving
from mailfw.storage.transaction import Transaction
from mailfw.values import (
    Adopt,
    Append,
    Copy,
    Create,
    Delete,
    Expunge,
    Move,
    Operation,
    Rename,
    Result,
    SetFlags,
    SetMetadata,
    SetQuota,
    SetRights,
    Subscribe,
)


@frozen
class Step:
    """An operation, with the contents that it brings."""

    operation: Operation
    arriving: tuple[Arriving, ...] = ()


def steps(operations: Sequence[Operation], blobs: IBlobStore | None) -> list[Step]:
    """The operations, each with an `Arriving` for every message it brings."""
    return [
        Step(one, tuple(Arriving(message.source, blobs) for message in one.messages) if isinstance(one, (Append, Adopt)) else ())
        for one in operations
    ]


def apply(tx: Transaction, step: Step) -> Result:
    """Do one operation, as far as the actor may. Raises what `values` says; then the whole transaction is to be taken back."""
    operation = rights.permitted(tx, step.operation)
    match operation:
        case Append():
            brought = zip(step.arriving, operation.messages, strict=True)
            rows = [(arriving, one.flags, one.internalDate) for arriving, one in brought]
            return messages.append(tx, tx.mailbox(operation.mailbox), rows)[0]
        case Adopt():
            return adoption.adopt(tx, operation, step.arriving)
        case SetFlags():
            return messages.setFlags(tx, operation)
        case Copy() | Move():
            if operation.account:
                raise NotSupported("copies between accounts are no part of one account's transaction")
            return messages.copy(tx, operation)
        case Expunge():
            return messages.expunge(tx, operation)
        case Create():
            return tree.create(tx, operation)
        case Rename():
            return tree.rename(tx, operation)
        case Delete():
            tree.delete(tx, operation)
        case Subscribe():
            tree.subscribe(tx, operation)
        case SetMetadata():
            metadata.setMetadata(tx, operation)
        case SetRights():
            rights.setRights(tx, operation)
        case SetQuota():
            quota.setQuota(tx, operation)
        case _:
            assert_never(operation)
    return None
