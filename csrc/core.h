/* What the extension minibox._core shows to Python: the system calls of sys.h and this. */
#pragma once
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include "sys.h"

/* What is wrong with a plan, in words; NULL if nothing is. The engine's own checker. */
const char *mb_plan_error(const void *block, size_t size);
