/* The tokens of a text, as `text.shingles` defines them. */
#ifndef TILLAGE_TOKENS_H
#define TILLAGE_TOKENS_H

#include "arrays.h"
#include "hashes.h"
#include <string.h>

#define PAD 8        /* bytes behind the data, so that the last token can be loaded whole */
#define FAR 64       /* bytes of a token that are hashed here */
#define ALL(byte) (UINT64_C(0x0101010101010101) * (byte))

enum kind { WORD, SPACE, HAN };

/* The eight bytes from here on, the first one lowest. */
static inline uint64_t loaded(const uint8_t *at)
{
#if PY_LITTLE_ENDIAN
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    return bytes;
#else
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 | (uint64_t)at[7] << 56;
#endif
}

/* The highest bit of each byte that is white space of ASCII, or no ASCII at all. */
static inline uint64_t doubtful(uint64_t bytes)
{
    uint64_t low = bytes & ALL(0x7F);
    uint64_t blank = ~((low ^ ALL(' ')) + ALL(0x7F));
    uint64_t control = (low + ALL(0x80 - '\t')) & ~(low + ALL(0x80 - '\r' - 1));
    return (blank | control | bytes) & ALL(0x80);
}

/* The place of the first byte whose highest bit is set; some is. */
static inline int64_t first_of(uint64_t bits)
{
#if defined(__GNUC__)
    return __builtin_ctzll(bits) >> 3;
#else
    int64_t place = 0;
    while (!(bits >> (8 * place) & 0x80))
        place++;
    return place;
#endif
}

/* What a character beyond ASCII is, and how many bytes it has; two bytes behind it may be read. */
static inline enum kind kind_of(const uint8_t *at, int64_t *bytes)
{
    uint8_t lead = at[0];
    *bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead >= 0xE4 && lead <= 0xE9)
        return lead > 0xE4 || at[1] >= 0xB8 ? HAN : WORD;
    if (lead == 0xC2)
        return at[1] == 0x85 || at[1] == 0xA0 ? SPACE : WORD;
    if (lead < 0xE1 || lead > 0xE3)
        return WORD;
    uint32_t point = (uint32_t)(lead & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
    int space = point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
                point == 0x202F || point == 0x205F || point == 0x3000;
    return space ? SPACE : WORD;
}

/* Up to eight bytes as one word, what was loaded from behind them shifted out; the lowest byte tells lengths apart. */
static inline uint64_t bare(uint64_t loaded_here, int64_t bytes)
{
    int64_t behind = bytes < 8 ? 8 - bytes : 0;
    return loaded_here << (8 * behind) | (uint8_t)-behind;
}

/* The hash of a token's first FAR bytes. */
static inline uint64_t hashed(const uint8_t *at, int64_t bytes)
{
    uint64_t hash = mixed(bare(loaded(at), bytes));
    for (int64_t done = 8; done < bytes && done < FAR; done += 8)
        hash = mixed(bare(loaded(at + done), bytes - done) + hash * UINT64_C(0x9E3779B97F4A7C15));
    return hash;
}

/* Where the token that begins here ends. */
static inline int64_t end_of(const uint8_t *data, int64_t at, int64_t end)
{
    while (at < end) {
        uint64_t doubt = doubtful(loaded(data + at));
        int64_t bytes;
        at += doubt ? first_of(doubt) : 8;
        if (!doubt || at >= end)
            continue;
        if (data[at] < 0x80 || kind_of(data + at, &bytes) != WORD)
            return at;
        at += bytes;
    }
    return end;
}

/* Tokens longer than FAR: of each its number, and the bytes from and until which the rest of it lies. */
struct far {
    int64_t *places;
    Py_ssize_t many, room;
};

/* The hashes of the tokens from `at` to `end`, behind the `found` that stand in `hash` already; PAD bytes behind them
 * may be read. It says how many there are then, or -1 where `hash` or `far` has no room for all. */
static inline int64_t tokens_of(const uint8_t *bytes, int64_t at, int64_t end, uint64_t *hash, int64_t found,
                                int64_t most, struct far *far)
{
    while (at < end) {
        uint64_t word = loaded(bytes + at), doubt = doubtful(word);
        int64_t sure = doubt ? first_of(doubt) : 8, size = sure ? sure : 1;
        if (sure && sure < 8 && at + sure < end && bytes[at + sure] < 0x80 && found < most) {
            hash[found++] = mixed(bare(word, sure)); /* a short word and the space behind it: nearly all */
            at += sure + 1;
            continue;
        }
        enum kind kind = sure ? WORD : bytes[at] < 0x80 ? SPACE : kind_of(bytes + at, &size);
        int64_t stop = at + size < end ? at + size : end;
        if (kind == WORD)
            stop = end_of(bytes, stop, end);
        if (kind != SPACE) {
            int is_long = stop - at > FAR;
            if (found >= most || far->many + is_long > far->room)
                return -1;
            if (is_long) {
                int64_t *place = far->places + 3 * far->many++;
                place[0] = found, place[1] = at + FAR, place[2] = stop;
            }
            hash[found++] = hashed(bytes + at, stop - at);
        }
        at = stop;
    }
    return found;
}

#endif
