/* Short texts without stdio: for paths under /proc, values of files, and details of failures. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A text that grows in a fixed array, always NUL-terminated; what does not fit is cut off. */
struct mb_line { char *start, *at, *end; };

static inline struct mb_line mb_line(char *array, size_t size)
{
    *array = 0;
    return (struct mb_line){ array, array, array + size - 1 };
}

static inline void mb_put_bytes(struct mb_line *line, const char *bytes, size_t size)
{
    size_t room = (size_t)(line->end - line->at), count = size < room ? size : room;
    memcpy(line->at, bytes, count);
    line->at += count;
    *line->at = 0;
}

static inline void mb_put(struct mb_line *line, const char *text)
{
    mb_put_bytes(line, text, strlen(text));
}

static inline void mb_put_u64(struct mb_line *line, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    mb_put_bytes(line, digits + at, sizeof digits - at);
}

static inline void mb_put_i64(struct mb_line *line, int64_t value)
{
    if (value < 0)
        mb_put(line, "-");
    mb_put_u64(line, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static inline void mb_put_octal(struct mb_line *line, uint64_t value)
{
    char digits[22];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + (value & 7));
    while (value >>= 3);
    mb_put_bytes(line, digits + at, sizeof digits - at);
}

static inline size_t mb_line_size(const struct mb_line *line)
{
    return (size_t)(line->at - line->start);
}
