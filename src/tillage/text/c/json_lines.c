/* Records of JSON lines: where their values stand, and columns of these; the twin is `collect.jsonl.parse_object`.
 *
 * One pass over the bytes of a record. What is plain is told, what is not is left to the twin, which says what is wrong
 * with it, or how it is read: an object of texts, numbers, true, false and null, each key once and without escapes, no
 * whole number of more than 18 digits or -0, no fraction that may be beyond the range of doubles, no half of a
 * surrogate pair, no control character, nothing nested. Source: RFC 8259.
 */
#include "columns.h"

#include <stdlib.h>
#include <string.h>

enum kind { ABSENT, NOTHING, TEXT, ESCAPED, INTEGER, FRACTION, YES, NO, KINDS };
enum verdict { PLAIN, ODD, UNKNOWN_KEY };
enum { MOST_DIGITS = 18, LONGEST_FRACTION = 200, MOST_EXPONENT = 2, STRIDE = 32 };

struct span {
    const uint8_t *at, *end;
};

/* The first byte that ends a plain stretch of a text: a quote, a backslash, a control character; or the end. */
WIDE static const uint8_t *stop(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= STRIDE) {
        uint8_t found = 0;
        for (int i = 0; i < STRIDE; i++)
            found |= (uint8_t)((at[i] == '"') | (at[i] == '\\') | (at[i] < 0x20));
        if (found)
            break;
        at += STRIDE;
    }
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
        at++;
    return at;
}

static void skip_blanks(struct span *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* Takes this byte, blanks before it; 0 where another one stands there. */
static int take(struct span *s, uint8_t wanted)
{
    skip_blanks(s);
    if (s->at == s->end || *s->at != wanted)
        return 0;
    s->at++;
    return 1;
}

/* The unit that four hexadecimal digits stand for, or -1. */
static int32_t unit(const uint8_t *at, const uint8_t *end)
{
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t sign = at[i], low = sign | 0x20;
        int32_t digit = sign >= '0' && sign <= '9' ? sign - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The character that the escape at the backslash stands for, and behind it; -1 where there is none, or half of one. */
static int32_t escape(struct span *s)
{
    static const char signs[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (s->end - s->at < 2)
        return -1;
    uint8_t sign = s->at[1];
    s->at += 2;
    const char *found = sign ? strchr(signs, sign) : NULL;
    if (found)
        return meant[found - signs];
    int32_t high = sign == 'u' ? unit(s->at, s->end) : -1;
    if (high < 0 || (high >= 0xDC00 && high < 0xE000))
        return -1;
    s->at += 4;
    if (high < 0xD800 || high >= 0xE000)
        return high;
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
        return -1;
    int32_t low = unit(s->at + 2, s->end);
    if (low < 0xDC00 || low >= 0xE000)
        return -1;
    s->at += 6;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* Behind the closing quote of the text that begins here; ABSENT where it is none. */
static enum kind text(struct span *s)
{
    enum kind kind = TEXT;
    for (;;) {
        s->at = stop(s->at, s->end);
        if (s->at == s->end || *s->at < 0x20)
            return ABSENT;
        if (*s->at == '"') {
            s->at++;
            return kind;
        }
        kind = ESCAPED;
        if (escape(s) < 0)
            return ABSENT;
    }
}

static Py_ssize_t digits(struct span *s)
{
    const uint8_t *begin = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at - begin;
}

static enum kind number(struct span *s)
{
    const uint8_t *begin = s->at;
    int minus = *s->at == '-', fraction = 0;
    s->at += minus;
    const uint8_t *first = s->at;
    Py_ssize_t whole = digits(s);
    if (!whole || (*first == '0' && whole > 1))
        return ABSENT;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        fraction = 1;
        if (!digits(s))
            return ABSENT;
    }
    if (s->at < s->end && (*s->at | 0x20) == 'e') {
        s->at++;
        fraction = 1;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        Py_ssize_t exponent = digits(s);
        if (!exponent || exponent > MOST_EXPONENT)
            return ABSENT;
    }
    if (fraction)
        return s->at - begin > LONGEST_FRACTION ? ABSENT : FRACTION;
    return whole > MOST_DIGITS || (minus && *first == '0') ? ABSENT : INTEGER;
}

static enum kind word(struct span *s, const char *letters, enum kind kind)
{
    size_t size = strlen(letters);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, letters, size) != 0)
        return ABSENT;
    s->at += size;
    return kind;
}

/* The value that begins here, and its place: of a text, that between the quotes. */
static enum kind value(struct span *s, struct span *place)
{
    skip_blanks(s);
    if (s->at == s->end)
        return ABSENT;
    place->at = s->at;
    enum kind kind = ABSENT;
    switch (*s->at) {
    case '"':
        place->at = ++s->at;
        kind = text(s);
        place->end = s->at - 1;
        return kind;
    case 't': kind = word(s, "true", YES); break;
    case 'f': kind = word(s, "false", NO); break;
    case 'n': kind = word(s, "null", NOTHING); break;
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        kind = number(s);
    }
    place->end = s->at;
    return kind;
}

struct table {
    const uint8_t *names;
    const int64_t *bounds;
    Py_ssize_t columns, records;
    uint8_t *kinds;
    uint32_t *starts, *sizes;
};

static int is_named(const struct table *t, Py_ssize_t column, const uint8_t *key, Py_ssize_t size)
{
    int64_t from = t->bounds[column];
    return t->bounds[column + 1] - from == size && memcmp(t->names + from, key, (size_t)size) == 0;
}

/* The values of record i into its row of the table; `base` is where places are counted from. */
static enum verdict record(const struct table *t, Py_ssize_t i, struct span s, const uint8_t *base)
{
    Py_ssize_t likely = 0;
    if (!take(&s, '{'))
        return ODD;
    if (!take(&s, '}'))
        for (;;) {
            if (!take(&s, '"'))
                return ODD;
            const uint8_t *key = s.at;
            s.at = stop(s.at, s.end);
            if (s.at == s.end || *s.at != '"')
                return ODD;
            Py_ssize_t size = s.at++ - key, column = likely;
            if (column >= t->columns || !is_named(t, column, key, size))
                for (column = 0; column < t->columns && !is_named(t, column, key, size);)
                    column++;
            if (column == t->columns)
                return UNKNOWN_KEY;
            likely = column + 1;
            Py_ssize_t cell = column * t->records + i;
            struct span place;
            enum kind kind = take(&s, ':') ? value(&s, &place) : ABSENT;
            if (kind == ABSENT || t->kinds[cell] != ABSENT)
                return ODD;
            t->kinds[cell] = (uint8_t)kind;
            t->starts[cell] = (uint32_t)(place.at - base);
            t->sizes[cell] = (uint32_t)(place.end - place.at);
            if (take(&s, ','))
                continue;
            if (take(&s, '}'))
                break;
            return ODD;
        }
    skip_blanks(&s);
    return s.at == s.end ? PLAIN : ODD;
}

/* json_records(data, starts i64[n], ends i64[n], longest, names, bounds i64[columns + 1],
 *              kinds u8[columns][n], places u32[columns][n], sizes u32[columns][n], verdicts u8[n])
 * A record that is not PLAIN, or longer than `longest` bytes, is ABSENT in every column. */
static PyObject *json_records(PyObject *self, PyObject *args)
{
    Py_buffer data, starts, ends, names, bounds, kinds, places, sizes, verdicts;
    Py_ssize_t longest;
    if (!PyArg_ParseTuple(args, "y*y*y*ny*y*w*w*w*w*", &data, &starts, &ends, &longest, &names, &bounds, &kinds,
                          &places, &sizes, &verdicts))
        return NULL;
    Py_ssize_t records = starts.len / 8, columns = bounds.len / 8 - 1;
    int right = holds(&starts, "starts", records, 8) && holds(&ends, "ends", records, 8) &&
                ascends(&bounds, "bounds", names.len) && holds(&verdicts, "verdicts", records, 1) &&
                (!columns || records <= PY_SSIZE_T_MAX / 4 / columns) &&
                holds(&kinds, "kinds", columns * records, 1) && holds(&places, "places", columns * records, 4) &&
                holds(&sizes, "sizes", columns * records, 4);
    const int64_t *from = starts.buf, *until = ends.buf;
    for (Py_ssize_t i = 0; right && i < records; i++)
        right = 0 <= from[i] && from[i] <= until[i] && until[i] <= data.len;
    right = right && data.len <= INT32_MAX;
    if (!right && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "the records do not stand within the data");
    if (right) {
        const uint8_t *base = data.buf;
        struct table t = {names.buf, bounds.buf, columns, records, kinds.buf, places.buf, sizes.buf};
        uint8_t *told = verdicts.buf;
        Py_BEGIN_ALLOW_THREADS;
        memset(t.kinds, ABSENT, (size_t)(columns * records));
        for (Py_ssize_t i = 0; i < records; i++) {
            struct span whole = {base + from[i], base + until[i]};
            told[i] = (uint8_t)(until[i] - from[i] > longest ? ODD : record(&t, i, whole, base));
            if (told[i] != PLAIN)
                for (Py_ssize_t column = 0; column < columns; column++)
                    t.kinds[column * records + i] = ABSENT;
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&data), PyBuffer_Release(&starts), PyBuffer_Release(&ends), PyBuffer_Release(&names);
    PyBuffer_Release(&bounds), PyBuffer_Release(&kinds), PyBuffer_Release(&places), PyBuffer_Release(&sizes);
    PyBuffer_Release(&verdicts);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

/* Whether each value stands within the data; sets ValueError and says 0 otherwise. */
static int stands(const Py_buffer *data, const Py_buffer *kinds, const Py_buffer *places, const Py_buffer *sizes)
{
    const uint8_t *kind = kinds->buf;
    if (!holds(places, "places", kinds->len, 4) || !holds(sizes, "sizes", kinds->len, 4))
        return 0;
    const uint32_t *place = places->buf, *size = sizes->buf;
    for (Py_ssize_t i = 0; i < kinds->len; i++)
        if (kind[i] >= KINDS || (kind[i] > NOTHING && (int64_t)place[i] + size[i] > data->len)) {
            PyErr_SetString(PyExc_ValueError, "the values do not stand within the data");
            return 0;
        }
    return 1;
}

/* json_integers(data, kinds u8[n], places u32[n], sizes u32[n], out i64[n]): 0 where the kind is another. */
static PyObject *json_integers(PyObject *self, PyObject *args)
{
    Py_buffer data, kinds, places, sizes, out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*", &data, &kinds, &places, &sizes, &out))
        return NULL;
    int right = stands(&data, &kinds, &places, &sizes) && holds(&out, "out", kinds.len, 8);
    if (right) {
        const uint8_t *kind = kinds.buf, *base = data.buf;
        const uint32_t *place = places.buf, *size = sizes.buf;
        int64_t *made = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < kinds.len; i++) {
            uint64_t found = 0;
            int minus = 0;
            if (kind[i] == INTEGER) {
                struct span s = {base + place[i], base + place[i] + size[i]};
                minus = s.at < s.end && *s.at == '-';
                s.at += minus;
                right = right && s.end - s.at <= MOST_DIGITS;
                for (; right && s.at < s.end; s.at++)
                    found = found * 10 + (uint64_t)(*s.at - '0');
            }
            made[i] = (int64_t)(minus ? 0 - found : found);
        }
        Py_END_ALLOW_THREADS;
        if (!right)
            PyErr_SetString(PyExc_ValueError, "a whole number is too long");
    }
    PyBuffer_Release(&data), PyBuffer_Release(&kinds), PyBuffer_Release(&places), PyBuffer_Release(&sizes);
    PyBuffer_Release(&out);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

static uint8_t *utf8(int32_t sign, uint8_t *out)
{
    if (sign < 0x80) {
        *out++ = (uint8_t)sign;
    } else if (sign < 0x800) {
        *out++ = (uint8_t)(0xC0 | sign >> 6);
        *out++ = (uint8_t)(0x80 | (sign & 0x3F));
    } else if (sign < 0x10000) {
        *out++ = (uint8_t)(0xE0 | sign >> 12);
        *out++ = (uint8_t)(0x80 | (sign >> 6 & 0x3F));
        *out++ = (uint8_t)(0x80 | (sign & 0x3F));
    } else {
        *out++ = (uint8_t)(0xF0 | sign >> 18);
        *out++ = (uint8_t)(0x80 | (sign >> 12 & 0x3F));
        *out++ = (uint8_t)(0x80 | (sign >> 6 & 0x3F));
        *out++ = (uint8_t)(0x80 | (sign & 0x3F));
    }
    return out;
}

/* The text without its escapes, which is never longer, into `out`: how long it is, or -1 for an escape that is none. */
static Py_ssize_t plain(struct span s, uint8_t *out)
{
    uint8_t *begin = out;
    while (s.at < s.end) {
        const uint8_t *slash = memchr(s.at, '\\', (size_t)(s.end - s.at));
        size_t bare = (size_t)((slash ? slash : s.end) - s.at);
        memcpy(out, s.at, bare);
        out += bare, s.at += bare;
        if (slash) {
            int32_t sign = escape(&s);
            if (sign < 0)
                return -1;
            out = utf8(sign, out);
        }
    }
    return out - begin;
}

/* json_texts(data, kinds u8[n], places u32[n], sizes u32[n]): a column, null where nothing is; numbers and words as
 * they are written. */
static PyObject *json_texts(PyObject *self, PyObject *args)
{
    Py_buffer data, kinds, places, sizes;
    if (!PyArg_ParseTuple(args, "y*y*y*y*", &data, &kinds, &places, &sizes))
        return NULL;
    struct texts made = {0};
    PyObject *handed = NULL;
    int right = stands(&data, &kinds, &places, &sizes), room = 1;
    if (right) {
        const uint8_t *kind = kinds.buf, *base = data.buf;
        const uint32_t *place = places.buf, *size = sizes.buf;
        Py_BEGIN_ALLOW_THREADS;
        Py_ssize_t wanted = 0;
        for (Py_ssize_t i = 0; i < kinds.len; i++)
            wanted += kind[i] > NOTHING && (kind[i] == ESCAPED || size[i] > INLINE) ? (Py_ssize_t)size[i] : 0;
        room = texts_begin(&made, kinds.len, wanted);
        for (Py_ssize_t i = 0; right && room && i < kinds.len; i++) {
            struct span s = {base + place[i], base + place[i] + size[i]};
            if (kind[i] <= NOTHING) {
                texts_skip(&made, i);
            } else if (kind[i] != ESCAPED) {
                texts_put(&made, i, s.at, s.end - s.at);
            } else {
                Py_ssize_t found = plain(s, made.data + made.used);
                right = found >= 0;
                if (right)
                    texts_put(&made, i, made.data + made.used, found);
            }
        }
        Py_END_ALLOW_THREADS;
    }
    if (right && room)
        handed = texts_handed(&made);
    else
        free(made.memory);
    if (!room)
        PyErr_NoMemory();
    else if (!right && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "an escape is none");
    PyBuffer_Release(&data), PyBuffer_Release(&kinds), PyBuffer_Release(&places), PyBuffer_Release(&sizes);
    return handed;
}

/* line_cuts(data, final, starts i64[room], ends i64[room]) -> (lines, consumed); lines for which there is no room are
 * counted alone. The twin is `collect.records.line_cuts`. */
static PyObject *line_cuts(PyObject *self, PyObject *args)
{
    Py_buffer data, starts, ends;
    int final;
    if (!PyArg_ParseTuple(args, "y*pw*w*", &data, &final, &starts, &ends))
        return NULL;
    Py_ssize_t room = starts.len / 8, lines = 0, consumed = 0;
    int right = holds(&starts, "starts", room, 8) && holds(&ends, "ends", room, 8);
    if (right) {
        const uint8_t *base = data.buf, *end = base + data.len, *at = base;
        int64_t *from = starts.buf, *until = ends.buf;
        Py_BEGIN_ALLOW_THREADS;
        int returns = data.len && memchr(base, '\r', (size_t)data.len) != NULL;
        while (at < end) {
            const uint8_t *line = at;
            if (returns)
                while (at < end && *at != '\n' && *at != '\r')
                    at++;
            else if (!(at = memchr(at, '\n', (size_t)(end - at))))
                at = end;
            /* A return at the very end waits, for a line feed may follow it. */
            if (!final && (at == end || (*at == '\r' && at + 1 == end)))
                break;
            if (lines < room)
                from[lines] = line - base, until[lines] = at - base;
            lines++;
            if (at < end)
                at += *at == '\r' && at + 1 < end && at[1] == '\n' ? 2 : 1;
            consumed = at - base;
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&data), PyBuffer_Release(&starts), PyBuffer_Release(&ends);
    return right ? Py_BuildValue("nn", lines, consumed) : NULL;
}

/* Behind the character of more than one byte that begins here, or NULL where none does (RFC 3629). */
static const uint8_t *character(const uint8_t *at, const uint8_t *end)
{
    static const uint8_t least[] = {0xC2, 0xE0, 0xF0, 0xF5};
    uint8_t lead = *at, low = 0x80, high = 0xBF;
    int more = lead < least[0] || lead >= least[3] ? 0 : lead < least[1] ? 1 : lead < least[2] ? 2 : 3;
    if (!more || end - at <= more)
        return NULL;
    if (lead == 0xE0 || lead == 0xF0)
        low = lead == 0xE0 ? 0xA0 : 0x90; /* else fewer bytes would do */
    if (lead == 0xED || lead == 0xF4)
        high = lead == 0xED ? 0x9F : 0x8F; /* a surrogate; beyond the last character */
    if (at[1] < low || at[1] > high)
        return NULL;
    for (int i = 2; i <= more; i++)
        if ((at[i] & 0xC0) != 0x80)
            return NULL;
    return at + more + 1;
}

static const uint8_t *ascii(const uint8_t *at, const uint8_t *end)
{
    uint64_t eight;
    while (end - at >= 8) {
        memcpy(&eight, at, 8);
        if (eight & 0x8080808080808080u)
            break;
        at += 8;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

/* utf8_until(data) -> how many bytes there are before the first that is no UTF-8 */
static PyObject *utf8_until(PyObject *self, PyObject *args)
{
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*", &data))
        return NULL;
    const uint8_t *base = data.buf, *end = base + data.len, *at = base, *next = base;
    Py_BEGIN_ALLOW_THREADS;
    while (next && (at = ascii(next, end)) < end) {
        /* Han, kana, Hangul and most signs: three bytes each, one after another. */
        while (end - at >= 3 && at[0] > 0xE0 && at[0] < 0xED && (at[1] & 0xC0) == 0x80 && (at[2] & 0xC0) == 0x80)
            at += 3;
        next = at < end && *at >= 0x80 ? character(at, end) : at;
    }
    Py_END_ALLOW_THREADS;
    Py_ssize_t found = at - base;
    PyBuffer_Release(&data);
    return PyLong_FromSsize_t(found);
}

PyMethodDef json_lines_methods[] = {
    {"json_records", json_records, METH_VARARGS, "Where the values of each record stand, and what they are."},
    {"json_integers", json_integers, METH_VARARGS, "A column of whole numbers."},
    {"json_texts", json_texts, METH_VARARGS, "A column of texts."},
    {"line_cuts", line_cuts, METH_VARARGS, "Where lines begin and end."},
    {"utf8_until", utf8_until, METH_VARARGS, "How far the data is UTF-8."},
    {NULL, NULL, 0, NULL}};
