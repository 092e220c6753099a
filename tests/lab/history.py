# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a history of one resource linearizable? (Herlihy and Wing, 1990; the search with a memory of Lowe, 2017.) An operation is
(begin, end, kind, value, outcome): kind "put", "delete" or "get"; value what was put, or what get returned (None: absent);
outcome "ok", "fail" (it was not executed, and never will be) or "unknown" (it may be executed at any time after its begin)."""
import math


def linearizable(history):
    """None when it is; else, for a person to read, the end of the longest order that was found, what does not follow, and what nobody knows of. What need not be tried is not, so that calls
    whose outcome nobody knows do not double the search each: a write that nobody knows of helps only a read of its value that is
    still to come, and deletions of that kind are all alike (the first goes first); a read of what is there now comes at once."""
    ops = sorted((op for op in history if op[4] != "fail"), key=lambda op: op[0])
    n = len(ops)
    ends = [math.inf if op[4] == "unknown" else op[1] for op in ops]
    must = sum(1 << i for i in range(n) if ops[i][4] == "ok")
    reads = {}  # of each value, as bits
    for i, op in enumerate(ops):
        if op[2] == "get":
            reads[op[3]] = reads.get(op[3], 0) | 1 << i
    seen, best = set(), []
    stack = [(0, None, ())]
    while stack:
        done, state, order = stack.pop()
        if done & must == must:
            return None
        if (done, state) in seen:
            continue
        seen.add((done, state))
        best = max(best, order, key=len)
        # What ended before it began has to come before it.
        first_end = min(ends[i] for i in range(n) if not done >> i & 1)
        may = [i for i in range(n) if not done >> i & 1 and ops[i][0] <= first_end]
        now = [i for i in may if ops[i][2] == "get" and ops[i][3] == state]
        if now:
            stack.append((done | sum(1 << i for i in now), state, order + tuple(now)))
            continue
        deleted = False
        for i in may:
            _, _, kind, value, outcome = ops[i]
            after = value if kind == "put" else None
            if kind == "get" or (outcome == "unknown" and not reads.get(after, 0) & ~done):
                continue
            if outcome == "unknown" and kind == "delete":
                if deleted:
                    continue
                deleted = True
            stack.append((done | 1 << i, after, order + (i,)))
    left = [ops[i] for i in range(n) if not sum(1 << k for k in best) >> i & 1]
    return [ops[i] for i in best][-8:], [op for op in left if op[4] == "ok"][:8], [op for op in left if op[4] != "ok"][-4:]


def plainly(history):
    """The same by trying every order: what the search above is held against, on small histories."""
    ops = [op for op in history if op[4] != "fail"]

    def go(left, state):
        if all(ops[i][4] == "unknown" for i in left):
            return True
        first_end = min((ops[i][1] for i in left if ops[i][4] == "ok"), default=math.inf)
        for i in left:
            begin, _, kind, value, _ = ops[i]
            if begin <= first_end and (kind != "get" or value == state):
                if go(left - {i}, state if kind == "get" else value if kind == "put" else None):
                    return True
        return False
    return go(frozenset(range(len(ops))), None)
