/* Where a text may hold personal data: each place at which a form of `privacy.kinds` can begin, by its rough shape.
 *
 * One pass over the bytes stops at digits, at some signs and at letters of other scripts, and looks about each for the
 * shapes below. A shape is a condition that every finding of its forms meets, and little else does; the pattern and
 * the check of the form decide, at these places alone. All signs that a shape asks for are ASCII (but for the Han signs
 * of a plate and a date), so that bytes are as good as characters. Each look reaches a bounded number of bytes from its
 * place, or to the end of a run that is passed over afterwards, so that the cost grows with the length and no faster.
 */
#include "dates.h"
#include "signs.h"
#include "telephones.h"

#include <stdlib.h>

/* ---- addresses */

/* At an @: what stands before it, not longer than 64, and a name with a dot and a letter behind it. */
static void mailbox(const struct text *t, int64_t sign)
{
    enum { LONGEST = 64 };
    int64_t start = sign, i = sign + 1;
    while (sign - start <= LONGEST && is_local(at(t, start - 1)))
        start--;
    if (start == sign || sign - start > LONGEST || !is_alnum(at(t, i)))
        return;
    for (; is_alnum(at(t, i)) || is_one_of(at(t, i), ".-"); i++)
        if (at(t, i) == '.' && is_letter(at(t, i + 1))) {
            found(t, start, MAILBOX);
            return;
        }
}

/* `rest`: where what is behind :// or www. begins. */
static void address(const struct text *t, int64_t start, int64_t rest)
{
    if (!is_alnum(at(t, start - 1)) && is_of_url(at(t, rest)) && is_of_url(at(t, rest + 1)) &&
        is_of_url(at(t, rest + 2)))
        found(t, start, SCHEME);
}

/* At a colon and a slash. */
static void scheme(const struct text *t, int64_t colon)
{
    if (at(t, colon + 2) != '/')
        return;
    if (says(t, colon - 4, "http"))
        address(t, colon - 4, colon + 3);
    else if (says(t, colon - 5, "https"))
        address(t, colon - 5, colon + 3);
    else if (says(t, colon - 3, "ftp"))
        address(t, colon - 3, colon + 3);
}

/* At the first colon of an address of IPv6: a digit, and two colons side by side or six in all. */
static void colons(const struct text *t, int64_t colon)
{
    enum { HEX_BEFORE = 4, LONGEST = 102 };
    int64_t start = colon, many = 0, side_by_side = 0, digits = 0;
    while (colon - start < HEX_BEFORE && is_hex(at(t, start - 1)))
        start--;
    int before = at(t, start - 1);
    if (is_alnum(before) || before == ':' || before == '.')
        return;
    for (int64_t i = start; i < start + LONGEST; i++) {
        int c = at(t, i);
        if (!is_hex(c) && c != ':' && c != '.')
            break;
        digits += is_digit(c);
        many += c == ':';
        side_by_side += c == ':' && at(t, i + 1) == ':';
    }
    if (digits && (side_by_side || many >= 6))
        found(t, start, COLONS);
}

/* At the first sign between six pairs of hexadecimal digits. */
static void octets(const struct text *t, int64_t sign)
{
    int64_t start = sign - 2;
    if (!is_hex(at(t, sign - 1)) || is_alnum(at(t, start - 1)))
        return;
    for (int64_t i = start; i < start + 18; i += 3)
        if (!is_hex(at(t, i)) || !is_hex(at(t, i + 1)) || (i < start + 15 && at(t, i + 2) != at(t, sign)))
            return;
    found(t, start, OCTETS);
}

/* ---- numbers of letters and digits: runs of them that hold a digit, from `i` to `end` */

static int64_t letters_and_digits(const struct text *t, int64_t i, int64_t end)
{
    int64_t size = end - i, digits = past_digits(t, i) - i, shapes = 0;
    if (size == 18) {
        int64_t k = i + 2;
        while (k < end && (is_digit(at(t, k)) || (k >= i + 8 && between(at(t, k), 'A', 'Z'))))
            k++;
        if (k == end)
            shapes |= SOCIAL_CREDIT;
        if (digits >= 17 && (digits == 18 || lower(at(t, end - 1)) == 'x'))
            shapes |= RESIDENT;
    }
    if (size == 42 && says(t, i, "0x"))
        shapes |= EVM;
    if (size >= 14 && size <= 89 && (says(t, i, "bc1") || says(t, i, "ltc1")))
        shapes |= BECH32;
    if (is_letter(at(t, i))) {
        int64_t letters = is_letter(at(t, i + 1)) ? 2 : 1, behind = past_digits(t, i + letters) - i - letters;
        if (i + letters + behind == end && behind >= 6 && behind <= 8)
            shapes |= PASSPORT;
        if (letters == 2 && behind >= 2) {
            int64_t k = i + 4, many = 0;
            for (; many < 11; many++, k++) {
                k += at(t, k) == ' ' || at(t, k) == '-';
                if (!is_alnum(at(t, k)))
                    break;
            }
            if (many == 11)
                shapes |= IBAN;
        }
    }
    return shapes;
}

/* Whether a run is one of base58, as long as an address. */
static int64_t base58(const struct text *t, int64_t i, int64_t end)
{
    if (end - i < 26 || end - i > 35 || !is_one_of(at(t, i), "13DLMTA9"))
        return 0;
    while (i < end && is_base58(at(t, i)))
        i++;
    return i == end ? BASE58 : 0;
}

/* A plate of China: a Han sign, a letter, perhaps a dot or blank, and what holds the digits. */
static void plate(const struct text *t, int64_t run)
{
    int64_t letter = run;
    if (between(at(t, run), 'A', 'Z') && between(at(t, run - 3), 0xE4, 0xE9)) {
        found(t, run - 3, PLATE);
        return;
    }
    if (at(t, run - 1) == ' ')
        letter = run - 2;
    else if (at(t, run - 2) == 0xC2 && at(t, run - 1) == 0xB7)
        letter = run - 3;
    else if (at(t, run - 3) == 0xE2 && at(t, run - 2) == 0x80 && at(t, run - 1) == 0xA2)
        letter = run - 4;
    if (letter < run && between(at(t, letter), 'A', 'Z') && between(at(t, letter - 3), 0xE4, 0xE9))
        found(t, letter - 3, PLATE);
}

/* ---- numbers alone, from `i` to `end`; neither a letter nor a digit stands about them */

static int64_t long_number(const struct text *t, int64_t i, int64_t end)
{
    int64_t size = end - i, shapes = 0;
    if (size == 9)
        shapes |= NINE_DIGITS;
    if (size == 15)
        shapes |= OLD_RESIDENT;
    if (size >= 12 && size <= 19 && begins(t, i, ".-") && ends(t, end, "."))
        shapes |= CARD;
    return shapes;
}

static int64_t dotted(const struct text *t, int64_t i)
{
    if (!begins(t, i, "."))
        return 0;
    for (int part = 0; part < 4; part++, i++) {
        int64_t end = past_digits(t, i);
        if (end == i || end - i > 3 || (part < 3 && at(t, end) != '.'))
            return 0;
        i = end;
    }
    return ends(t, i - 1, ".") ? DOTTED : 0;
}

static int64_t card_groups(const struct text *t, int64_t i, int64_t end)
{
    int sign = at(t, end);
    int64_t second = past_digits(t, end + 1), third = past_digits(t, second + 1);
    int64_t many = second - end - 1;
    return end - i == 4 && (sign == ' ' || sign == '-') && (many == 4 || many == 6) && at(t, second) == sign &&
                   third - second > 4 && begins(t, i, ".-")
               ? CARD_GROUPS
               : 0;
}

static int64_t ssn_groups(const struct text *t, int64_t i, int64_t end)
{
    int sign = at(t, end);
    int64_t second = past_digits(t, end + 1), third = past_digits(t, second + 1);
    return end - i == 3 && (sign == ' ' || sign == '-') && second - end == 3 && at(t, second) == sign &&
                   third - second == 5 && !is_alnum(at(t, third))
               ? SSN_GROUPS
               : 0;
}

/* ---- the pass */

/* At a digit that follows no digit of the same run of letters and digits; where the run ends. */
static int64_t number(const struct text *t, int64_t digit)
{
    int64_t start = digit, end = digit, digits;
    while (is_letter(at(t, start - 1)))
        start--;
    while (is_alnum(at(t, end)))
        end++;
    int64_t shapes = letters_and_digits(t, start, end) | base58(t, start, end);
    plate(t, start);
    if (is_digit(at(t, end - 1)))
        date_in_han(t, end);
    if (start == digit) {
        digits = past_digits(t, start);
        shapes |= date_of_month(t, start) | telephone(t, start);
        if (digits == end)
            shapes |= long_number(t, start, end) | dotted(t, start) | date(t, start) | card_groups(t, start, end) |
                      ssn_groups(t, start, end);
        int before = at(t, start - 1);
        if (before == '+' || before == '(')
            found(t, start - 1, telephone(t, start - 1));
        if (before == '+' && at(t, start - 2) == '(')
            found(t, start - 2, telephone(t, start - 2));
    }
    found(t, start, shapes);
    return end;
}

/* Whether the eight bytes at a place may all be letters, which have this bit, as few other signs do. */
static inline int is_of_letters(const struct text *t, int64_t i)
{
    const uint64_t bit = 0x4040404040404040u;
    uint64_t eight = 0;
    if (i >= 0 && i + 8 <= t->size)
        memcpy(&eight, t->data + i, 8);
    return (eight & bit) == bit;
}

/* Runs of letters alone that may be base58. One of 26 covers eight bytes at a multiple of 16, and the eight before or
 * behind them as well. */
static void long_words(const struct text *t)
{
    enum { STEP = 16 };
    for (int64_t i = 0; i < t->size; i += STEP) {
        if (!is_of_letters(t, i) || !(is_of_letters(t, i - 8) || is_of_letters(t, i + 8)))
            continue;
        int64_t start = i, end = i;
        while (is_letter(at(t, start - 1)))
            start--;
        while (is_letter(at(t, end)))
            end++;
        if (!is_digit(at(t, start - 1)) && !is_digit(at(t, end)))
            found(t, start, base58(t, start, end));
        i = end > i ? (end - 1) / STEP * STEP : i;
    }
}

enum { BLOCK = 1024 };

/* Which of `many` bytes are to be looked at: digits, an @, the dot of www., what may stand between hexadecimal digits or
 * before a slash, and letters of other scripts, but for the Han signs from U+4E00 to U+9FFF, which folding leaves alone.
 * The bytes have one before and one behind them that can be read. */
WIDE static void mark_stops(const uint8_t *bytes, int64_t many, uint8_t *stops)
{
    for (int64_t k = 0; k < many; k++) {
        uint8_t c = bytes[k], before = bytes[k - 1], behind = bytes[k + 1];
        uint8_t digit = (uint8_t)(c - '0') <= 9, at_sign = c == '@';
        uint8_t han = (uint8_t)((uint8_t)(c - 0xE5) <= 4) | ((uint8_t)(c == 0xE4) & (uint8_t)(behind >= 0xB8));
        uint8_t other = (uint8_t)(c >= 0xC0) & (uint8_t)!han;
        uint8_t dot = (uint8_t)(c == '.') & (uint8_t)((before | 0x20) == 'w');
        uint8_t between = (uint8_t)((c == ':') | (c == '-')) & (uint8_t)(behind >= '/');
        stops[k] = digit | other | at_sign | dot | between;
    }
}

/* The next of the marked places from `k` on, or `many`, or `k` where it is more; eight zeros stand behind them. */
static inline int64_t next_stop(const uint8_t *stops, int64_t k, int64_t many)
{
    if (k >= many)
        return k;
    for (uint64_t eight; k < many; k += 8) {
        memcpy(&eight, stops + k, 8);
        if (eight)
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return k + __builtin_ctzll(eight) / 8;
#else
            break;
#endif
    }
    while (k < many && !stops[k])
        k++;
    return k < many ? k : many;
}

/* Past the character at a place; `odd` becomes 1 where folding may change it: it is none of `plain`, a bit for each
 * code point below 0x10000. */
static inline int64_t past_character(const struct text *t, int64_t i, const uint8_t *plain, uint8_t *odd)
{
    int c = t->data[i], code = 0;
    int64_t size = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (size == 2)
        code = (c & 0x1F) << 6 | (at(t, i + 1) & 0x3F);
    else if (size == 3)
        code = (c & 0x0F) << 12 | (at(t, i + 1) & 0x3F) << 6 | (at(t, i + 2) & 0x3F);
    if (size == 4 || !(plain[code >> 3] >> (code & 7) & 1))
        *odd = 1;
    return i + size;
}

/* Looks about a place; where to go on. */
static inline int64_t look_at(const struct text *t, int64_t i, const uint8_t *plain, uint8_t *odd)
{
    int c = t->data[i], behind = at(t, i + 1);
    if (c >= 0x80)
        return past_character(t, i, plain, odd);
    if (is_digit(c))
        return number(t, i);
    if (c == '@') {
        mailbox(t, i);
    } else if (c == '.' && says(t, i - 3, "www")) {
        address(t, i - 3, i + 1);
    } else if (c == ':' && behind == '/') {
        scheme(t, i);
    } else if ((c == ':' || c == '-') && (is_hex(behind) || behind == ':')) {
        if (c == ':')
            colons(t, i);
        octets(t, i);
    }
    return i + 1;
}

static void look(const struct text *t, const uint8_t *plain, uint8_t *odd)
{
    uint8_t bytes[BLOCK + 2], stops[BLOCK + 8];
    long_words(t);
    for (int64_t i = 0, many; i < t->size; i += many) {
        many = t->size - i < BLOCK ? t->size - i : BLOCK;
        bytes[0] = (uint8_t)at(t, i - 1), bytes[many + 1] = (uint8_t)at(t, i + many);
        memcpy(bytes + 1, t->data + i, (size_t)many);
        mark_stops(bytes + 1, many, stops);
        memset(stops + many, 0, 8);
        int64_t k = next_stop(stops, 0, many);
        while (k < many)
            k = next_stop(stops, look_at(t, i + k, plain, odd) - i, many);
        many = k;
    }
}

/* The place of a finding in characters; `from` and `count` are a place before it in bytes and in characters. */
static int64_t characters(const uint8_t *data, int64_t from, int64_t to, int64_t count)
{
    for (; from < to; from++)
        count += (data[from] & 0xC0) != 0x80;
    return count;
}

static int by_place(const void *a, const void *b)
{
    int64_t x = ((const struct found *)a)->start, y = ((const struct found *)b)->start;
    return (x > y) - (x < y);
}

/* Puts the findings of a text in order, their places in characters. */
static void settle(const struct text *t, int64_t first)
{
    struct findings *out = t->findings;
    int64_t many = (out->many < out->room ? out->many : out->room) - first, from = 0, count = 0;
    if (many <= 0)
        return;
    qsort(out->all + first, (size_t)many, sizeof *out->all, by_place);
    for (struct found *one = out->all + first; one < out->all + first + many; one++) {
        int64_t place = one->start;
        one->start = count = characters(t->data, from, place, count);
        from = place;
    }
}

/* Whether folding leaves the Han signs alone, as `mark_stops` takes for granted. */
static int leaves_han(const Py_buffer *plain)
{
    const uint8_t *bits = plain->buf;
    for (int code = 0x4E00; code < 0xA000; code += 8)
        if (bits[code >> 3] != 0xFF) {
            PyErr_SetString(PyExc_ValueError, "plain lacks Han signs");
            return 0;
        }
    return 1;
}

/* shapes(data u8[n], starts i64[texts + 1], plain u8[8192], odd u8[texts], out i64[room][3]) to how many were found */
static PyObject *shapes(PyObject *self, PyObject *args)
{
    enum { PLAIN = 0x10000 / 8 };
    Py_buffer data, starts, plain, odd, out;
    if (!PyArg_ParseTuple(args, "y*y*y*w*w*", &data, &starts, &plain, &odd, &out))
        return NULL;
    Py_ssize_t texts = starts.len / 8 - 1, room = out.len / (Py_ssize_t)sizeof(struct found);
    struct findings findings = {out.buf, room, 0};
    int right = ascends(&starts, "starts", data.len) && holds(&plain, "plain", PLAIN, 1) &&
                leaves_han(&plain) && holds(&odd, "odd", texts, 1) && holds(&out, "out", room * 3, 8);
    if (right) {
        const int64_t *from = starts.buf;
        uint8_t *changed = odd.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts; i++) {
            struct text text = {(const uint8_t *)data.buf + from[i], from[i + 1] - from[i], i, &findings};
            int64_t first = findings.many;
            changed[i] = 0;
            look(&text, plain.buf, changed + i);
            settle(&text, first);
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&data), PyBuffer_Release(&starts), PyBuffer_Release(&plain), PyBuffer_Release(&odd);
    PyBuffer_Release(&out);
    return right ? PyLong_FromLongLong(findings.many) : NULL;
}

PyMethodDef shapes_methods[] = {
    {"shapes", shapes, METH_VARARGS, "Where each text may hold personal data, and of which shapes."},
    {NULL, NULL, 0, NULL}};
