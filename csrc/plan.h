/* A plan's binary form, as minibox/plan.py writes it, and its checking reader. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct mb_str { uint32_t off, len; };   /* bytes of the block; a NUL follows, none is inside */
struct mb_list { uint32_t off, count; };/* count values of 8 bytes: int64_t or struct mb_str */
struct mb_step { uint16_t kind, size; uint32_t zero; };

#include "generated/steps.h"

struct mb_plan_header {
    char magic[8];                      /* "minibox\0" */
    uint32_t format, size;
    uint32_t count[MB_PART_COUNT];
    uint32_t steps_off, steps_size, data_off, data_size, notes_off, notes_size;
};
_Static_assert(sizeof(struct mb_plan_header) == 56, "as minibox/plan.py writes it");

/* A checked plan: the block as it is, and where each step begins. */
struct mb_plan {
    const unsigned char *block;
    uint32_t size, total;
    uint32_t first[MB_PART_COUNT + 1];  /* index of the first step of each part; the last is total */
    uint32_t at[MB_MAX_STEPS];          /* offset of each step */
};

/* Checks every offset, count, kind, part and terminator of *block*, and acts on nothing; so it can be
 * fuzzed.  NULL if all is well, else what is wrong, in words.  *plan* keeps pointing into *block*. */
const char *mb_plan_check(struct mb_plan *plan, const void *block, size_t size);

static inline const struct mb_step *mb_step_at(const struct mb_plan *plan, uint32_t index)
{
    return (const struct mb_step *)(const void *)(plan->block + plan->at[index]);
}

/* The text of a checked string. */
static inline const char *mb_text(const struct mb_plan *plan, struct mb_str text)
{
    return (const char *)plan->block + text.off;
}

static inline struct mb_str mb_str_item(const struct mb_plan *plan, struct mb_list list, uint32_t n)
{
    return ((const struct mb_str *)(const void *)(plan->block + list.off))[n];
}

static inline int64_t mb_int_item(const struct mb_plan *plan, struct mb_list list, uint32_t n)
{
    return ((const int64_t *)(const void *)(plan->block + list.off))[n];
}

extern const struct mb_schema mb_schema[MB_KIND_COUNT];
