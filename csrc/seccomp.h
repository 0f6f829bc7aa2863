/* Filters of system calls: what the step and the engine both must know of them. */
#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include "plan.h"

/* The filter of a step, as the kernel takes it: the plan holds the very array. */
struct sock_fprog mb_filter_of(const struct mb_plan *plan, const struct mb_filter_calls *step);

/* What *filter* says to a call: SECCOMP_RET_KILL_PROCESS for one that is no program, as the kernel. */
uint32_t mb_filter_verdict(const struct sock_fprog *filter, const struct seccomp_data *call);

/* Whether it leaves a traced process the calls that a stop takes (stop.h). */
bool mb_filter_lets_stop(const struct sock_fprog *filter);

/* Is this verdict one that the engine is to see?  Kills always, so that the call can be named; refusals
 * if there is a log. */
bool mb_filter_tells(uint32_t verdict, bool log);

/* Whether it has such a verdict at all. */
bool mb_filter_listens(const struct sock_fprog *filter, bool log);
