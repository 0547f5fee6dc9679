"""Mail to code: functions that addresses belong to, run by the queue. Its manual is `docs/mail-to-code.md`; `mailfw.mail` is
its door.

`pattern` reads and matches addresses (pure), `results` is what functions return (pure), `routing` has the decorator and finds the
function of an address, `loading` imports modules, and again after a change, `running` calls a function within its time,
`delivery` is the route of the queue that does so and makes an outcome of what it returns.

Invariants:

- What a function returns happens once, in the transaction that takes its message from the queue, or not at all. The function
  itself may be called again with the same message, which then has the same `id`.
- Nothing a function does or fails to do costs more than its own message: it waits, with the reason.
- A plain function never runs in the reactor's thread; an `async def` is watched there.
"""
