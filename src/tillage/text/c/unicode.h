/* Code points of UTF-8, and their properties by the table of `text.unicode`. */
#ifndef TILLAGE_UNICODE_H
#define TILLAGE_UNICODE_H

#include "views.h"

enum { SPACE = 1, HAN = 2, LETTER = 4, WORD = 8, UNKNOWN = 0x80 };
enum { CODES = 0x110000, PAGE_BITS = 12, PAGES = CODES >> PAGE_BITS };

/* A byte for each code point, and for each page of them whether it was asked for and is not made yet. */
struct properties {
    const uint8_t *of;
    uint8_t *wanted;
};

/* The code point at `*at`, which moves behind it; never behind `end`, whatever the bytes say. */
static inline uint32_t next_code(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    uint32_t code = *p++;
    if (code >= 0x80) {
        int more = code >= 0xF0 ? 3 : code >= 0xE0 ? 2 : 1;
        code &= 0x3Fu >> more;
        for (; more && p < end; more--)
            code = code << 6 | (*p++ & 0x3F);
    }
    *at = p;
    return code;
}

/* Where the code point that ends before `at` begins. */
static inline const uint8_t *code_before(const uint8_t *begin, const uint8_t *at)
{
    do
        at--;
    while (at > begin && (*at & 0xC0) == 0x80);
    return at;
}

static inline uint8_t properties_of(struct properties table, uint32_t code)
{
    if (code >= CODES)
        return 0;
    uint8_t bits = table.of[code];
    if (bits & UNKNOWN) {
        table.wanted[code >> PAGE_BITS] = 1;
        return 0;
    }
    return bits;
}

/* The text without the white space at its ends. */
static inline struct text stripped(struct properties table, struct text text)
{
    while (text.at < text.end) {
        const uint8_t *next = text.at;
        if (!(properties_of(table, next_code(&next, text.end)) & SPACE))
            break;
        text.at = next;
    }
    while (text.at < text.end) {
        const uint8_t *last = code_before(text.at, text.end), *p = last;
        if (!(properties_of(table, next_code(&p, text.end)) & SPACE))
            break;
        text.end = last;
    }
    return text;
}

#endif
