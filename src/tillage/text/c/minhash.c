/* MinHash signatures and their buckets; the twins are `text.minhash.signatures` and `buckets`. */
#include "arrays.h"
#include "hashes.h"

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

/* buckets(tokens u64[n], bounds i64[texts + 1], places u64[5], fewer u64[5], factors u32[bands * rows], terms the same,
 *         columns u64[rows], seeds u64[bands], out u64[texts][bands]) */
static PyObject *buckets(PyObject *self, PyObject *args)
{
    Py_buffer tokens, bounds, places, fewer, factors, terms, columns, seeds, out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*y*w*", &tokens, &bounds, &places, &fewer, &factors, &terms, &columns,
                          &seeds, &out))
        return NULL;
    Py_ssize_t texts = bounds.len / 8 - 1, rows = columns.len / 8, bands = seeds.len / 8;
    int right = ascends(&bounds, "bounds", tokens.len / 8) && holds(&places, "places", SIZE, 8) &&
                holds(&fewer, "fewer", SIZE, 8) && holds(&columns, "columns", rows, 8) &&
                holds(&seeds, "seeds", bands, 8) && holds(&factors, "factors", bands * rows, 4) &&
                holds(&terms, "terms", bands * rows, 4) && holds(&out, "out", texts * bands, 8);
    const int64_t *from = bounds.buf;
    int64_t most = 0;
    for (Py_ssize_t i = 0; i < texts && right; i++)
        most = from[i + 1] - from[i] > most ? from[i + 1] - from[i] : most;
    uint32_t *words = right ? room(shingles_of(most), bands * rows) : NULL;
    if (words != NULL) {
        const uint64_t *token = tokens.buf, *place = places.buf, *few = fewer.buf, *column = columns.buf;
        const uint64_t *seed = seeds.buf;
        uint64_t *bucket = out.buf;
        uint32_t *signature = words + shingles_of(most);
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts; i++) {
            int64_t own = from[i + 1] - from[i], many = shingles_of(own);
            for (int64_t n = 0; n < many; n++)
                words[n] = (uint32_t)(shingle(token + from[i], own, n, place, few) >> 32);
            least(words, many, factors.buf, terms.buf, bands * rows, signature);
            for (Py_ssize_t b = 0; b < bands; b++) {
                uint64_t sum = seed[b];
                for (Py_ssize_t r = 0; r < rows; r++)
                    sum += signature[b * rows + r] * column[r];
                bucket[i * bands + b] = mixed(sum) >> 1;
            }
        }
        Py_END_ALLOW_THREADS;
        PyMem_Free(words);
    }
    PyBuffer_Release(&tokens), PyBuffer_Release(&bounds), PyBuffer_Release(&places), PyBuffer_Release(&fewer);
    PyBuffer_Release(&factors), PyBuffer_Release(&terms), PyBuffer_Release(&columns), PyBuffer_Release(&seeds);
    PyBuffer_Release(&out);
    if (words == NULL)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef minhash_methods[] = {
    {"signatures", signatures, METH_VARARGS, "The least of each permutation over the hashes of each text."},
    {"buckets", buckets, METH_VARARGS, "The buckets of each text, of the hashes of its tokens."},
    {NULL, NULL, 0, NULL}};
