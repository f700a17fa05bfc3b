/* Tokens and shingles of texts; the twin is `text.shingles._shingles`. */
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

/* tokens(data u8[bytes + PAD], starts i64[texts + 1], hashes u64[most], bounds i64[texts + 1], far i64[many][3])
 *
 * The hash of each token of each text, those of text i from bounds[i] to bounds[i + 1]. Of a token longer than FAR its
 * number stands in `far`, with the bytes from and until which the rest of it lies; it says how many those are. */
static PyObject *tokens(PyObject *self, PyObject *args)
{
    Py_buffer data, starts, hashes, bounds, far;
    if (!PyArg_ParseTuple(args, "y*y*w*w*w*", &data, &starts, &hashes, &bounds, &far))
        return NULL;
    Py_ssize_t texts = starts.len / 8 - 1, most = hashes.len / 8, many = far.len / 24, found = 0, long_ones = 0;
    int right = ascends(&starts, "starts", data.len - PAD) && holds(&bounds, "bounds", texts + 1, 8) &&
                holds(&hashes, "hashes", most, 8) && holds(&far, "far", many, 24);
    if (right) {
        const uint8_t *bytes = data.buf;
        const int64_t *from = starts.buf;
        uint64_t *hash = hashes.buf;
        int64_t *bound = bounds.buf, *rest = far.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts && right; i++) {
            int64_t at = from[i], end = from[i + 1];
            bound[i] = found;
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
                    right = found < most && long_ones < many + !is_long;
                    if (!right)
                        break;
                    if (is_long) {
                        rest[3 * long_ones] = found;
                        rest[3 * long_ones + 1] = at + FAR;
                        rest[3 * long_ones + 2] = stop;
                        long_ones++;
                    }
                    hash[found++] = hashed(bytes + at, stop - at);
                }
                at = stop;
            }
        }
        bound[texts] = found;
        Py_END_ALLOW_THREADS;
        if (!right)
            PyErr_SetString(PyExc_ValueError, "hashes or far have no room for all tokens");
    }
    PyBuffer_Release(&data), PyBuffer_Release(&starts), PyBuffer_Release(&hashes), PyBuffer_Release(&bounds);
    PyBuffer_Release(&far);
    return right ? PyLong_FromSsize_t(long_ones) : NULL;
}

/* shingles(tokens u64[n], bounds i64[texts + 1], places u64[5], fewer u64[5], starts i64[texts + 1], out u64[..]) */
static PyObject *shingles(PyObject *self, PyObject *args)
{
    Py_buffer tokens, bounds, places, fewer, starts, out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*w*", &tokens, &bounds, &places, &fewer, &starts, &out))
        return NULL;
    Py_ssize_t texts = bounds.len / 8 - 1;
    int right = ascends(&bounds, "bounds", tokens.len / 8) && holds(&places, "places", SIZE, 8) &&
                holds(&fewer, "fewer", SIZE, 8) && holds(&starts, "starts", texts + 1, 8) &&
                ascends(&starts, "starts", out.len / 8);
    const int64_t *from = bounds.buf, *to = starts.buf;
    for (Py_ssize_t i = 0; i < texts && right; i++) {
        right = to[i + 1] - to[i] == shingles_of(from[i + 1] - from[i]);
        if (!right)
            PyErr_SetString(PyExc_ValueError, "starts are not those of the shingles of these tokens");
    }
    if (right) {
        const uint64_t *token = tokens.buf, *place = places.buf, *few = fewer.buf;
        uint64_t *made = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts; i++)
            for (int64_t n = 0; n < to[i + 1] - to[i]; n++)
                made[to[i] + n] = shingle(token + from[i], from[i + 1] - from[i], n, place, few);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&tokens), PyBuffer_Release(&bounds), PyBuffer_Release(&places), PyBuffer_Release(&fewer);
    PyBuffer_Release(&starts), PyBuffer_Release(&out);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

#define RUN 12 /* elements that are sorted by insertion, before runs of them are merged */

/* Sort so many elements; `room` has place for as many. Merging takes as long for forged hashes as for any. */
static void sort(uint64_t *set, uint64_t *room, int64_t many)
{
    for (int64_t begin = 0; begin < many; begin += RUN) {
        int64_t end = begin + RUN < many ? begin + RUN : many;
        for (int64_t n = begin + 1; n < end; n++) {
            uint64_t own = set[n];
            int64_t at = n;
            for (; at > begin && set[at - 1] > own; at--)
                set[at] = set[at - 1];
            set[at] = own;
        }
    }
    uint64_t *from = set, *to = room;
    for (int64_t width = RUN; width < many; width *= 2) {
        for (int64_t begin = 0; begin < many; begin += 2 * width) {
            int64_t middle = begin + width < many ? begin + width : many;
            int64_t end = middle + width < many ? middle + width : many;
            int64_t a = begin, b = middle, at = begin;
            while (a < middle && b < end) {
                uint64_t x = from[a], y = from[b];
                to[at++] = x <= y ? x : y; /* no branch: which one is less cannot be foretold */
                a += x <= y;
                b += x > y;
            }
            memcpy(to + at, from + a, (size_t)(middle - a) * sizeof *to);
            memcpy(to + at + (middle - a), from + b, (size_t)(end - b) * sizeof *to);
        }
        uint64_t *other = from;
        from = to, to = other;
    }
    if (from != set)
        memcpy(set, from, (size_t)many * sizeof *set);
}

/* sets(tokens u64[n], bounds i64[texts + 1], places u64[5], fewer u64[5], starts i64[texts + 1], out u64[..])
 *
 * The distinct shingles of each text, sorted; those of text i from starts[i] to starts[i + 1] of `out`, which has room
 * for all shingles, and for as many as the longest text has behind them. It says how many there are. */
static PyObject *sets(PyObject *self, PyObject *args)
{
    Py_buffer tokens, bounds, places, fewer, starts, out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*w*", &tokens, &bounds, &places, &fewer, &starts, &out))
        return NULL;
    Py_ssize_t texts = bounds.len / 8 - 1, most = out.len / 8;
    int right = ascends(&bounds, "bounds", tokens.len / 8) && holds(&places, "places", SIZE, 8) &&
                holds(&fewer, "fewer", SIZE, 8) && holds(&starts, "starts", texts + 1, 8) &&
                holds(&out, "out", most, 8);
    const int64_t *from = bounds.buf;
    int64_t *to = starts.buf, at = 0;
    if (right) {
        const uint64_t *token = tokens.buf, *place = places.buf, *few = fewer.buf;
        uint64_t *made = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts && right; i++) {
            int64_t own = from[i + 1] - from[i], many = shingles_of(own), kept = at;
            right = many <= (most - at) / 2;
            if (!right)
                break;
            for (int64_t n = 0; n < many; n++)
                made[at + n] = shingle(token + from[i], own, n, place, few);
            sort(made + at, made + at + many, many);
            for (int64_t n = at; n < at + many; n++)
                if (kept == at || made[kept - 1] != made[n])
                    made[kept++] = made[n];
            to[i] = at;
            at = kept;
        }
        to[texts] = at;
        Py_END_ALLOW_THREADS;
        if (!right)
            PyErr_SetString(PyExc_ValueError, "out has no room for all shingles and once more those of a text");
    }
    PyBuffer_Release(&tokens), PyBuffer_Release(&bounds), PyBuffer_Release(&places), PyBuffer_Release(&fewer);
    PyBuffer_Release(&starts), PyBuffer_Release(&out);
    return right ? PyLong_FromLongLong(at) : NULL;
}

PyMethodDef shingles_methods[] = {
    {"tokens", tokens, METH_VARARGS, "The hash of each token of each text."},
    {"shingles", shingles, METH_VARARGS, "The hash of each shingle of each text, of the hashes of its tokens."},
    {"sets", sets, METH_VARARGS, "The distinct shingles of each text, of the hashes of its tokens."},
    {NULL, NULL, 0, NULL}};
