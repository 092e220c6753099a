# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a history of one resource linearizable? (Herlihy and Wing, 1990; the search with a memory of Lowe, 2017.) An operation is
(begin, end, kind, value, outcome): kind "put", "delete" or "get"; value what was put, or what get returned (None: absent);
outcome "ok", "fail" (it was not executed, and never will be) or "unknown" (it may be executed at any time after its begin)."""
import math


def linearizable(history):
    """None when it is; else the longest order that was found, for a person to read."""
    ops = sorted((op for op in history if op[4] != "fail"), key=lambda op: op[0])
    n = len(ops)
    ends = [math.inf if op[4] == "unknown" else op[1] for op in ops]
    must = sum(1 << i for i in range(n) if ops[i][4] == "ok")
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
        first_end = min(ends[i] for i in range(n) if not done >> i & 1)
        for i in range(n - 1, -1, -1):
            begin, _, kind, value, _ = ops[i]
            # What ended before it began has to come before it.
            if done >> i & 1 or begin > first_end:
                continue
            if kind == "get":
                if value == state:
                    stack.append((done | 1 << i, state, order + (i,)))
            else:
                stack.append((done | 1 << i, value if kind == "put" else None, order + (i,)))
    return [ops[i] for i in best][-8:], [ops[i] for i in range(n) if not sum(1 << k for k in best) >> i & 1][:8]
