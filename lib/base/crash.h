/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Named crash points: the arrows of a change at which a test kills the process. The table is
 * what `netd --crash-points` prints; a name outside it cannot be compiled.
 */
#pragma once

#define CRASH_TABLE(X)                                                                            \
	X(CONTROL_ACCEPTED, "control.accepted", "the document is valid, nothing is stored")       \
	X(CONTROL_COMMITTED, "control.committed", "the store has the change, nobody was told")    \
	X(CONTROL_ATTACHED, "control.attached", "the kernel is done, the runtime does not know")  \
	X(CONTROL_HANDED, "control.handed-over", "the runtime has the group, no name yet")        \
	X(CONTROL_NAMED, "control.named", "the name is visible, the answer is not Succeeded")     \
	X(CONTROL_INTENT, "control.intent", "the deletion is stored, nothing is taken away")      \
	X(CONTROL_UNNAMED, "control.unnamed", "the name is gone, the containers run")             \
	X(CONTROL_STOPPED, "control.stopped", "the containers ended, the kernel objects stand")   \
	X(CONTROL_DETACHED, "control.detached", "the kernel objects are gone, the record stands") \
	X(CONTROL_REMOVED, "control.removed", "the record is gone, nobody was told")              \
	X(NGROUP_BATCH, "control.batch", "a batch of an update is noted, nothing of it begun")    \
	X(NGROUP_MADE, "control.member-made", "a member is asked for, the others are not")        \
	X(NGROUP_DELETED, "control.member-deleted", "a member's deletion is asked for")           \
	X(STANDBY_TAKEN, "control.standby-taken", "a group of a standby pool has its new id")     \
	X(STANDBY_STORED, "control.standby-stored", "that is stored, the runtime does not know")  \
	X(NGROUP_UPDATED, "control.member-updated", "a member takes its new template in place")   \
	X(ENGINE_RECEIVED, "engine.received", "the objects arrived, the kernel is as before")     \
	X(ENGINE_NAMESPACE, "engine.namespace", "the namespace is made, its links are not")       \
	X(ENGINE_LINKS, "engine.links", "links, addresses and routes are there, no rules")        \
	X(ENGINE_APPLIED, "engine.applied", "the kernel is done, control was not told")           \
	X(ENGINE_RULESET, "engine.ruleset",                                                       \
	  "a VNet's ruleset stands, its deciding chain is empty")                                 \
	X(ENGINE_RULES_MADE, "engine.rules-made", "new rules stand, nothing leads there")         \
	X(ENGINE_RULES_TURNED, "engine.rules-turned", "the new rules decide, the old ones stand") \
	X(ENGINE_REMOVING, "engine.removing", "rules are gone, namespace and links stand")        \
	X(ENGINE_REMOVED, "engine.removed", "all objects are gone, control was not told")         \
	X(DNS_UPDATED, "dns.updated", "the record is changed, control was not told")

enum crash_point {
#define X(id, name, text) CRASH_##id,
	CRASH_TABLE(X)
#undef X
	CRASH_N,
};

/* Reads NETD_CRASH_AT=NAME[:COUNT] once; a process without it pays one compare a point. */
void crash_setup(void);
/* Kills the process by SIGKILL when this point's turn has come. */
void crash_point(enum crash_point p);
/* Prints "name  text" lines to standard output. */
void crash_print(void);
