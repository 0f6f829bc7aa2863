/* The checking reader of a plan's binary form. It acts on nothing, so it can be fuzzed; after it
 * every offset, count, terminator and number of the plan can be trusted. */
#include <stdbool.h>
#include <string.h>
#include "plan.h"

const struct mb_schema mb_schema[MB_KIND_COUNT] = { MB_SCHEMA };

/* Lists may share strings, so a small block could ask for a long check. */
#define MAX_READ (4u * MB_MAX_SIZE)

struct reader {
    const unsigned char *block;
    uint32_t data_off, data_end;
    uint32_t budget;                    /* bytes that may still be looked at */
};

static uint64_t word(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static bool spend(struct reader *reader, uint64_t size)
{
    if (size > reader->budget)
        return false;
    reader->budget -= (uint32_t)size;
    return true;
}

static const char *check_string(struct reader *reader, uint64_t value)
{
    uint32_t off = (uint32_t)value, length = (uint32_t)(value >> 32);

    if (off < reader->data_off || off >= reader->data_end || length >= reader->data_end - off)
        return "a string lies outside the data";
    if (!spend(reader, (uint64_t)length + 1))
        return "the strings of its lists are too long together";
    const unsigned char *nul = memchr(reader->block + off, 0, (size_t)length + 1);
    if (!nul)
        return "a string does not end with NUL";
    return nul == reader->block + off + length ? NULL : "a string has a NUL inside";
}

static const char *check_number(const struct mb_field *field, uint64_t value)
{
    int64_t number = (int64_t)value;

    return field->low <= number && number <= field->high ? NULL : "a number is out of range";
}

static const char *check_list(struct reader *reader, const struct mb_field *field, uint64_t value)
{
    uint32_t off = (uint32_t)value, count = (uint32_t)(value >> 32);
    const char *wrong = NULL;

    if (off % 8)
        return "a list is not aligned";
    if (off < reader->data_off || off > reader->data_end || count > (reader->data_end - off) / 8)
        return "a list lies outside the data";
    if (!spend(reader, 8 * (uint64_t)count))
        return "its lists are too long together";
    if (field->type == 'T' && count % 3)
        return "a map of ids is not made of triples";
    for (uint32_t n = 0; n < count && !wrong; n++) {
        uint64_t item = word(reader->block + off + 8 * (size_t)n);
        wrong = field->type == 'S' ? check_string(reader, item) : check_number(field, item);
    }
    return wrong;
}

static const char *check_field(struct reader *reader, const struct mb_field *field, uint64_t value)
{
    switch (field->type) {
    case 'i':
    case 'b':
        return check_number(field, value);
    case 's':
        return check_string(reader, value);
    default:
        return check_list(reader, field, value);
    }
}

/* One step, of which at least *room* bytes are there. */
static const char *check_step(struct reader *reader, const struct mb_step *step, uint32_t room,
                              unsigned part)
{
    const char *wrong = NULL;

    if (room < sizeof *step)
        return "a step is cut short";
    if (step->kind == MB_KIND_NONE || step->kind >= MB_KIND_COUNT)
        return "a step is of no known kind";
    const struct mb_schema *schema = &mb_schema[step->kind];
    if (step->size != sizeof *step + 8 * schema->count || step->size > room || step->zero)
        return "a step has the wrong size";
    if (!(schema->parts >> part & 1))
        return "a step stands in a part where it cannot be done";
    const unsigned char *fields = (const unsigned char *)(step + 1);
    for (unsigned n = 0; n < schema->count && !wrong; n++)
        wrong = check_field(reader, &schema->fields[n], word(fields + 8 * (size_t)n));
    return wrong;
}

/* The areas follow each other without gaps, so every byte has one meaning. */
static const char *check_header(const struct mb_plan_header *head, size_t size)
{
    if (size < sizeof *head)
        return "it is too short";
    if ((uintptr_t)head % 8)
        return "it does not lie on an 8-byte boundary";
    if (memcmp(head->magic, "minibox", sizeof head->magic))
        return "it does not begin as a plan does";
    if (head->format != MB_FORMAT)
        return "it was made for another version of minibox";
    if (size > MB_MAX_SIZE)
        return "it is too large";
    if (head->size != size)
        return "it does not have the size that it says";
    if (head->steps_off != sizeof *head || head->steps_size % 8 ||
        head->data_off != (uint64_t)head->steps_off + head->steps_size ||
        head->notes_off != (uint64_t)head->data_off + head->data_size ||
        head->size != (uint64_t)head->notes_off + head->notes_size)
        return "its areas do not follow each other";
    return NULL;
}

/* How many steps of *kind* the plan has. */
static uint32_t count_kind(const struct mb_plan *plan, enum mb_kind kind)
{
    uint32_t count = 0;

    for (uint32_t n = 0; n < plan->total; n++)
        count += mb_step_at(plan, n)->kind == kind;
    return count;
}

/* What holds between steps: the engine relies on these. Fail may stand in the place of any step. */
static const char *check_structure(const struct mb_plan *plan)
{
    bool fails = count_kind(plan, MB_FAIL) > 0;

    if (plan->first[MB_PART_APP] == plan->first[MB_PART_FINISH])
        return "it has nothing to execute";
    uint16_t last = mb_step_at(plan, plan->first[MB_PART_FINISH] - 1)->kind;
    if (count_kind(plan, MB_EXEC) != (last == MB_EXEC) || (last != MB_EXEC && last != MB_FAIL))
        return "its app does not end with the one exec";
    if (count_kind(plan, MB_CLONE_INIT) > 1 || (!count_kind(plan, MB_CLONE_INIT) && !fails))
        return "it does not start one box";
    if (count_kind(plan, MB_CLONE_APP) > 1)
        return "it starts more than one application";
    return NULL;
}

const char *mb_plan_check(struct mb_plan *plan, const void *block, size_t size)
{
    const struct mb_plan_header *head = block;
    const char *wrong = check_header(head, size);

    if (wrong)
        return wrong;
    struct reader reader = { block, head->data_off, head->notes_off, MAX_READ };
    uint32_t at = head->steps_off, end = head->data_off;
    *plan = (struct mb_plan){ .block = block, .size = head->size };
    for (unsigned part = 0; part < MB_PART_COUNT; part++) {
        if (head->count[part] > MB_MAX_STEPS - plan->total)
            return "it has too many steps";
        for (uint32_t n = 0; n < head->count[part]; n++) {
            const struct mb_step *step = (const void *)(reader.block + at);
            wrong = check_step(&reader, step, end - at, part);
            if (wrong)
                return wrong;
            plan->at[plan->total++] = at;
            at += step->size;
        }
        plan->first[part + 1] = plan->total;
    }
    return at == end ? check_structure(plan) : "it has more steps than it counts";
}
