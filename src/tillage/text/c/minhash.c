/* MinHash signatures and their buckets; the twins are `text.minhash.signatures` and `buckets`. */
#include "tokens.h"
#include "views.h"

#include <stdlib.h>

#define TOGETHER 4 /* permutations of one walk over the words, so that each is loaded once for all of them */

static WIDE void least(const uint32_t *words, int64_t many, const uint32_t *factors, const uint32_t *terms,
                       Py_ssize_t permutations, uint32_t *out)
{
    Py_ssize_t p = 0;
    for (; p + TOGETHER <= permutations; p += TOGETHER) {
        uint32_t a = UINT32_MAX, b = UINT32_MAX, c = UINT32_MAX, d = UINT32_MAX;
        uint32_t fa = factors[p], fb = factors[p + 1], fc = factors[p + 2], fd = factors[p + 3];
        uint32_t ta = terms[p], tb = terms[p + 1], tc = terms[p + 2], td = terms[p + 3];
        for (int64_t i = 0; i < many; i++) {
            uint32_t va = words[i] * fa + ta, vb = words[i] * fb + tb;
            uint32_t vc = words[i] * fc + tc, vd = words[i] * fd + td;
            a = va < a ? va : a;
            b = vb < b ? vb : b;
            c = vc < c ? vc : c;
            d = vd < d ? vd : d;
        }
        out[p] = a, out[p + 1] = b, out[p + 2] = c, out[p + 3] = d;
    }
    for (; p < permutations; p++) {
        uint32_t found = UINT32_MAX;
        for (int64_t i = 0; i < many; i++) {
            uint32_t value = words[i] * factors[p] + terms[p];
            found = value < found ? value : found;
        }
        out[p] = found;
    }
}

/* Room for so many numbers beside so many more of all texts; NULL with MemoryError where there is none. */
static uint32_t *room(int64_t words, Py_ssize_t more)
{
    uint32_t *found = NULL;
    if (words <= PY_SSIZE_T_MAX / 8 && more <= PY_SSIZE_T_MAX / 8)
        found = PyMem_Malloc(4 * ((size_t)words + (size_t)more) + 1);
    if (found == NULL)
        PyErr_NoMemory();
    return found;
}

/* signatures(hashes u64[n], starts i64[texts + 1], factors u32[p], terms u32[p], out u32[texts][p]) */
static PyObject *signatures(PyObject *self, PyObject *args)
{
    Py_buffer hashes, starts, factors, terms, out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*", &hashes, &starts, &factors, &terms, &out))
        return NULL;
    Py_ssize_t texts = starts.len / 8 - 1, permutations = factors.len / 4;
    int right = holds(&factors, "factors", permutations, 4) && holds(&terms, "terms", permutations, 4) &&
                ascends(&starts, "starts", hashes.len / 8) && holds(&out, "out", texts * permutations, 4);
    const int64_t *from = starts.buf;
    int64_t most = 0;
    for (Py_ssize_t i = 0; i < texts && right; i++)
        most = from[i + 1] - from[i] > most ? from[i + 1] - from[i] : most;
    uint32_t *words = right ? room(most, 0) : NULL;
    if (words != NULL) {
        const uint64_t *all = hashes.buf;
        uint32_t *least_of = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts; i++) {
            for (int64_t n = from[i]; n < from[i + 1]; n++)
                words[n - from[i]] = (uint32_t)(all[n] >> 32);
            least(words, from[i + 1] - from[i], factors.buf, terms.buf, permutations, least_of + i * permutations);
        }
        Py_END_ALLOW_THREADS;
        PyMem_Free(words);
    }
    PyBuffer_Release(&hashes), PyBuffer_Release(&starts), PyBuffer_Release(&factors), PyBuffer_Release(&terms);
    PyBuffer_Release(&out);
    if (words == NULL)
        return NULL;
    Py_RETURN_NONE;
}

/* How texts become buckets: the constants of `text.minhash`, and room for the words of a text and its signature. */
struct bands {
    const uint64_t *places, *fewer, *columns, *seeds;
    const uint32_t *factors, *terms;
    Py_ssize_t rows, bands;
    uint32_t *words, *signature;
};

/* The buckets of a text of these tokens. */
static void put_buckets(const uint64_t *token, int64_t tokens, const struct bands *by, uint64_t *bucket)
{
    int64_t many = shingles_of(tokens);
    for (int64_t n = 0; n < many; n++)
        by->words[n] = (uint32_t)(shingle(token, tokens, n, by->places, by->fewer) >> 32);
    least(by->words, many, by->factors, by->terms, by->bands * by->rows, by->signature);
    for (Py_ssize_t b = 0; b < by->bands; b++) {
        uint64_t sum = by->seeds[b];
        for (Py_ssize_t r = 0; r < by->rows; r++)
            sum += by->signature[b * by->rows + r] * by->columns[r];
        bucket[b] = mixed(sum) >> 1;
    }
}

enum { PLACES, FEWER, FACTORS, TERMS, COLUMNS, SEEDS, CONSTANTS };

/* The constants of these arrays, with room for a text of so many tokens at most; 0 with an error set. */
static int opened(struct bands *by, const Py_buffer *given, int64_t most)
{
    Py_ssize_t rows = given[COLUMNS].len / 8, bands = given[SEEDS].len / 8;
    *by = (struct bands){given[PLACES].buf,  given[FEWER].buf, given[COLUMNS].buf, given[SEEDS].buf,
                         given[FACTORS].buf, given[TERMS].buf, rows,               bands};
    if (!holds(given + PLACES, "places", SIZE, 8) || !holds(given + FEWER, "fewer", SIZE, 8) ||
        !holds(given + COLUMNS, "columns", rows, 8) || !holds(given + SEEDS, "seeds", bands, 8) ||
        !holds(given + FACTORS, "factors", bands * rows, 4) || !holds(given + TERMS, "terms", bands * rows, 4))
        return 0;
    by->words = room(shingles_of(most), bands * rows);
    by->signature = by->words ? by->words + shingles_of(most) : NULL;
    return by->words != NULL;
}

/* buckets(tokens u64[n], bounds i64[texts + 1], places u64[5], fewer u64[5], factors u32[bands * rows], terms the same,
 *         columns u64[rows], seeds u64[bands], out u64[texts][bands]) */
static PyObject *buckets(PyObject *self, PyObject *args)
{
    Py_buffer tokens, bounds, out, g[CONSTANTS];
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*y*w*", &tokens, &bounds, g, g + 1, g + 2, g + 3, g + 4, g + 5, &out))
        return NULL;
    struct bands by = {0};
    Py_ssize_t texts = bounds.len / 8 - 1;
    const int64_t *from = bounds.buf;
    int right = ascends(&bounds, "bounds", tokens.len / 8);
    int64_t most = 0;
    for (Py_ssize_t i = 0; i < texts && right; i++)
        most = from[i + 1] - from[i] > most ? from[i + 1] - from[i] : most;
    right = right && opened(&by, g, most) && holds(&out, "out", texts * by.bands, 8);
    if (right) {
        const uint64_t *token = tokens.buf;
        uint64_t *bucket = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts; i++)
            put_buckets(token + from[i], from[i + 1] - from[i], &by, bucket + i * by.bands);
        Py_END_ALLOW_THREADS;
    }
    PyMem_Free(by.words);
    PyBuffer_Release(&tokens), PyBuffer_Release(&bounds), PyBuffer_Release(&out);
    for (int i = 0; i < CONSTANTS; i++)
        PyBuffer_Release(g + i);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

/* text_buckets(texts, places, fewer, factors, terms, columns, seeds as above, far u8[texts], out u64[texts][bands])
 *
 * The buckets of a column of texts in lower case, text by text, so that nothing but they is written to memory. `far`
 * says of which texts it makes none: those with a token longer than FAR. */
static PyObject *text_buckets(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    Py_buffer far, out, g[CONSTANTS];
    if (!PyArg_ParseTuple(args, "Oy*y*y*y*y*y*w*w*", &capsule, g, g + 1, g + 2, g + 3, g + 4, g + 5, &far, &out))
        return NULL;
    struct column column;
    struct bands by = {0};
    int64_t longest = 0;
    int right = column_opened(capsule, &column);
    for (Py_ssize_t i = 0; i < column.length && right; i++)
        longest = column.texts[i].end - column.texts[i].at > longest ? column.texts[i].end - column.texts[i].at : longest;
    int64_t most = longest / 2 + 1; /* two tokens have a space or a Han between them */
    right = right && opened(&by, g, most) && holds(&far, "far", column.length, 1) &&
            holds(&out, "out", column.length * by.bands, 8);
    uint8_t *text = right ? PyMem_Malloc((size_t)longest + PAD) : NULL;
    uint64_t *token = text ? PyMem_Malloc((size_t)most * sizeof *token) : NULL;
    if (token) {
        uint8_t *is_far = far.buf;
        uint64_t *bucket = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < column.length; i++) {
            int64_t size = column.texts[i].end - column.texts[i].at;
            struct far none = {NULL, 0, 0};
            memcpy(text, column.texts[i].at, (size_t)size);
            memset(text + size, 0, PAD);
            int64_t found = tokens_of(text, 0, size, token, 0, most, &none);
            is_far[i] = found < 0;
            if (found >= 0)
                put_buckets(token, found, &by, bucket + i * by.bands);
        }
        Py_END_ALLOW_THREADS;
    } else if (right)
        PyErr_NoMemory();
    PyMem_Free(by.words), PyMem_Free(text), PyMem_Free(token);
    column_closed(&column);
    PyBuffer_Release(&far), PyBuffer_Release(&out);
    for (int i = 0; i < CONSTANTS; i++)
        PyBuffer_Release(g + i);
    if (!token)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef minhash_methods[] = {
    {"signatures", signatures, METH_VARARGS, "The least of each permutation over the hashes of each text."},
    {"buckets", buckets, METH_VARARGS, "The buckets of each text, of the hashes of its tokens."},
    {"text_buckets", text_buckets, METH_VARARGS, "The buckets of each text of a column."},
    {NULL, NULL, 0, NULL}};
