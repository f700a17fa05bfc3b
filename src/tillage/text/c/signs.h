/* What the search for shapes is made of: the shapes, a text with its findings, and the signs at a place. */
#ifndef TILLAGE_SIGNS_H
#define TILLAGE_SIGNS_H

#include "arrays.h"

#include <string.h>

/* In the order of `privacy.shapes.Shape`. */
enum {
    MAILBOX = 1 << 0,
    SCHEME = 1 << 1,
    DOTTED = 1 << 2,
    COLONS = 1 << 3,
    OCTETS = 1 << 4,
    CARD = 1 << 5,
    CARD_GROUPS = 1 << 6,
    IBAN = 1 << 7,
    BASE58 = 1 << 8,
    BECH32 = 1 << 9,
    EVM = 1 << 10,
    RESIDENT = 1 << 11,
    OLD_RESIDENT = 1 << 12,
    SOCIAL_CREDIT = 1 << 13,
    SSN_GROUPS = 1 << 14,
    NINE_DIGITS = 1 << 15,
    PASSPORT = 1 << 16,
    PLATE = 1 << 17,
    DATE = 1 << 18,
    DATE_OF_MONTH = 1 << 19,
    DATE_IN_HAN = 1 << 20,
    MOBILE = 1 << 21,
    LANDLINE = 1 << 22,
    PLUS = 1 << 23,
    ZEROS = 1 << 24,
    AMERICAN = 1 << 25,
    FREE = 1 << 26,
    GROUPS = 1 << 27,
    DIGITS = 1 << 28
};

struct found {
    int64_t text, start, shapes;
};

/* Findings are written while there is room and counted always. */
struct findings {
    struct found *all;
    int64_t room, many;
};

struct text {
    const uint8_t *data;
    int64_t size, number;
    struct findings *findings;
};

/* ---- signs: the byte at a place, 0 outside of the text */

static inline int at(const struct text *t, int64_t i) { return (uint64_t)i < (uint64_t)t->size ? t->data[i] : 0; }

static inline int between(int c, int first, int last) { return c >= first && c <= last; }
static inline int lower(int c) { return between(c, 'A', 'Z') ? c + 32 : c; }
static inline int is_digit(int c) { return between(c, '0', '9'); }
static inline int is_letter(int c) { return between(lower(c), 'a', 'z'); }
static inline int is_alnum(int c) { return is_digit(c) || is_letter(c); }
static inline int is_hex(int c) { return is_digit(c) || between(lower(c), 'a', 'f'); }
static inline int is_one_of(int c, const char *signs) { return c && strchr(signs, c) != NULL; }
static inline int is_local(int c) { return is_alnum(c) || is_one_of(c, "._%+'-"); }
static inline int is_of_url(int c) { return is_alnum(c) || is_one_of(c, "-._~:/?#@!$&'()*+,;=%[]"); }
static inline int is_base58(int c) { return is_alnum(c) && !is_one_of(c, "0OIl"); }
static inline int is_separator(int c) { return c == ' ' || c == '.' || c == '-'; }

/* Where the digits from a place on end. */
static int64_t past_digits(const struct text *t, int64_t i)
{
    while (is_digit(at(t, i)))
        i++;
    return i;
}

/* Whether these small letters stand at a place, in any case. */
static int says(const struct text *t, int64_t i, const char *word)
{
    while (*word && lower(at(t, i)) == *word)
        i++, word++;
    return !*word;
}

/* Whether a number that ends here is not followed by more of it. */
static int ends(const struct text *t, int64_t i, const char *joining)
{
    return !is_alnum(at(t, i)) && !(is_one_of(at(t, i), joining) && is_digit(at(t, i + 1)));
}

/* Whether what begins here is not the part behind one of these signs of a number. */
static int begins(const struct text *t, int64_t i, const char *joining)
{
    return !(is_one_of(at(t, i - 1), joining) && is_digit(at(t, i - 2)));
}

static void found(const struct text *t, int64_t start, int64_t shapes)
{
    struct findings *out = t->findings;
    if (!shapes)
        return;
    if (out->many < out->room)
        out->all[out->many] = (struct found){t->number, start, shapes};
    out->many++;
}

#endif
