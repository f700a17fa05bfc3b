/* Sixty-four characters of ASCII at once, as one bit each for every property. */
#ifndef TILLAGE_WINDOWS_H
#define TILLAGE_WINDOWS_H

#include "unicode.h"

#include <string.h>

enum { WINDOW = 64 };

/* The properties of 64 bytes, eight in each number, the first lowest. */
struct window {
    uint64_t bytes[8];
};

static inline int64_t ones(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555;
    x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0F;
    return (int64_t)(x * 0x0101010101010101 >> 56);
}

/* The place of the lowest bit of a number that has one. */
static inline int lowest(uint64_t x)
{
#ifdef __GNUC__
    return __builtin_ctzll(x);
#else
    return (int)ones((x & (0 - x)) - 1);
#endif
}

/* Whether these bytes, WINDOW at the most, are ASCII. */
static inline int all_plain(const uint8_t *at, Py_ssize_t size)
{
    uint8_t any = 0;
    if (size == WINDOW)
        for (int i = 0; i < WINDOW; i++)
            any |= at[i];
    else
        for (Py_ssize_t i = 0; i < size; i++)
            any |= at[i];
    return any < 0x80;
}

/* Of so many bytes of ASCII, with spaces behind them where they are fewer than WINDOW. */
static inline struct window window_of(const uint8_t plain[0x80], const uint8_t *at, Py_ssize_t size)
{
    struct window window = {{0}};
    uint8_t rest[WINDOW];
    if (size < WINDOW) {
        memset(rest, ' ', WINDOW);
        memcpy(rest, at, (size_t)size);
        at = rest;
    }
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < 8; i++)
            window.bytes[k] |= (uint64_t)plain[at[8 * k + i]] << 8 * i;
    return window;
}

/* The bit of this number of each property: the product brings the lowest bits of eight bytes together. */
static inline uint64_t plane(struct window window, int bit)
{
    uint64_t found = 0;
    for (int k = 0; k < 8; k++)
        found |= ((window.bytes[k] >> bit & 0x0101010101010101) * 0x0102040810204080 >> 56) << 8 * k;
    return found;
}

#endif
