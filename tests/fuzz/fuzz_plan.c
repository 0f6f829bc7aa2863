/* The plan checker under a fuzzer. What it takes is then read whole, each field of each step by its own
 * name and type, out of a block of exactly its size: so AddressSanitizer sees a byte too many. */
#include <stdio.h>
#include <stdlib.h>
#include "../../csrc/plan.h"
#include "harness.h"

static void expect_number(int64_t value, int64_t low, int64_t high)
{
    EXPECT(low <= value && value <= high);
}

/* Among the data, and not in another area of the block. */
static void expect_data(const struct mb_plan *plan, uint32_t off, uint64_t size)
{
    const struct mb_plan_header *head = (const void *)plan->block;

    EXPECT(off >= head->data_off && off + size <= head->notes_off);
}

static void expect_text(const struct mb_plan *plan, struct mb_str text)
{
    expect_data(plan, text.off, text.len + (uint64_t)1);
    EXPECT(strlen(mb_text(plan, text)) == text.len);
}

static void expect_texts(const struct mb_plan *plan, struct mb_list texts)
{
    expect_data(plan, texts.off, texts.count * sizeof(struct mb_str));
    for (uint32_t n = 0; n < texts.count; n++)
        expect_text(plan, mb_str_item(plan, texts, n));
}

static void expect_numbers(const struct mb_plan *plan, struct mb_list numbers, int64_t low, int64_t high)
{
    expect_data(plan, numbers.off, numbers.count * sizeof(int64_t));
    for (uint32_t n = 0; n < numbers.count; n++)
        expect_number(mb_int_item(plan, numbers, n), low, high);
}

/* expect_step(): what fuzz.py makes of minibox/steps.py. */
#include "expect.h"

/* What the engine takes for granted of a checked plan. */
static void expect_whole(const struct mb_plan *plan)
{
    uint32_t app = plan->first[MB_PART_APP], finish = plan->first[MB_PART_FINISH];

    EXPECT(plan->first[0] == 0 && plan->first[MB_PART_COUNT] == plan->total);
    EXPECT(plan->total <= MB_MAX_STEPS && app < finish);
    for (unsigned part = 0; part < MB_PART_COUNT; part++)
        EXPECT(plan->first[part] <= plan->first[part + 1]);
    for (uint32_t n = 0; n < plan->total; n++) {
        const struct mb_step *step = mb_step_at(plan, n);
        EXPECT(step->kind != MB_EXEC || n == finish - 1);
        expect_step(plan, step);
    }
}

/* True: the checker takes it. */
static bool check(const unsigned char *block, size_t size)
{
    static struct mb_plan plan;
    const char *wrong = mb_plan_check(&plan, block, size);

    EXPECT(!wrong || *wrong);
    if (!wrong)
        expect_whole(&plan);
    return !wrong;
}

/* Nearly every change of a plan breaks its header first, and then nothing behind that is looked at. */
static void mend_header(unsigned char *block, size_t size)
{
    struct mb_plan_header *head = (void *)block;
    uint32_t room = (uint32_t)(size - sizeof *head);

    memcpy(head->magic, "minibox", sizeof head->magic);
    head->format = MB_FORMAT;
    head->size = (uint32_t)size;
    head->steps_off = sizeof *head;
    head->steps_size = (head->steps_size > room ? room : head->steps_size) & ~7u;
    head->data_off = head->steps_off + head->steps_size;
    if (head->data_size > room - head->steps_size)
        head->data_size = room - head->steps_size;
    head->notes_off = head->data_off + head->data_size;
    head->notes_size = head->size - head->notes_off;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *block = copy_of(data, size);

    if (!check(block, size) && size >= sizeof(struct mb_plan_header)) {
        mend_header(block, size);
        check(block, size);
    }
    if (size)                               /* what does not lie on a word is not even looked at */
        EXPECT(mb_plan_check(&(struct mb_plan){ 0 }, block + 1, size - 1));
    free(block);
    return 0;
}
