/* Tokens and shingles of texts; the twin is `text.shingles._shingles`. */
#include "tokens.h"

/* tokens(data u8[bytes + PAD], starts i64[texts + 1], hashes u64[most], bounds i64[texts + 1], far i64[many][3])
 *
 * The hash of each token of each text, those of text i from bounds[i] to bounds[i + 1]. Of a token longer than FAR its
 * number stands in `far`, with the bytes from and until which the rest of it lies; it says how many those are. */
static PyObject *tokens(PyObject *self, PyObject *args)
{
    Py_buffer data, starts, hashes, bounds, far;
    if (!PyArg_ParseTuple(args, "y*y*w*w*w*", &data, &starts, &hashes, &bounds, &far))
        return NULL;
    Py_ssize_t texts = starts.len / 8 - 1, most = hashes.len / 8;
    struct far long_ones = {far.buf, 0, far.len / 24};
    int right = ascends(&starts, "starts", data.len - PAD) && holds(&bounds, "bounds", texts + 1, 8) &&
                holds(&hashes, "hashes", most, 8) && holds(&far, "far", long_ones.room, 24);
    if (right) {
        const int64_t *from = starts.buf;
        int64_t *bound = bounds.buf, found = 0;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts && found >= 0; i++) {
            bound[i] = found;
            found = tokens_of(data.buf, from[i], from[i + 1], hashes.buf, found, most, &long_ones);
        }
        bound[texts] = found;
        Py_END_ALLOW_THREADS;
        right = found >= 0;
        if (!right)
            PyErr_SetString(PyExc_ValueError, "hashes or far have no room for all tokens");
    }
    PyBuffer_Release(&data), PyBuffer_Release(&starts), PyBuffer_Release(&hashes), PyBuffer_Release(&bounds);
    PyBuffer_Release(&far);
    return right ? PyLong_FromSsize_t(long_ones.many) : NULL;
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
