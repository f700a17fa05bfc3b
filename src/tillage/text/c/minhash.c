/* MinHash signatures; the twin is `text.minhash.signatures`. */
#include "arrays.h"

WIDE static void least(const uint64_t *hashes, int64_t many, uint32_t factor, uint32_t term, uint32_t *out)
{
    uint32_t found = UINT32_MAX;
    for (int64_t i = 0; i < many; i++) {
        uint32_t value = (uint32_t)(hashes[i] >> 32) * factor + term;
        found = value < found ? value : found;
    }
    *out = found;
}

/* signatures(hashes u64[n], starts i64[texts + 1], factors u32[p], terms u32[p], out u32[texts][p]) */
static PyObject *signatures(PyObject *self, PyObject *args)
{
    Py_buffer hashes, starts, factors, terms, out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*", &hashes, &starts, &factors, &terms, &out))
        return NULL;
    Py_ssize_t texts = starts.len / 8 - 1, permutations = factors.len / 4;
    int right = holds(&terms, "terms", permutations, 4) && ascends(&starts, "starts", hashes.len / 8) &&
                holds(&out, "out", texts * permutations, 4);
    if (right) {
        const uint64_t *all = hashes.buf;
        const int64_t *from = starts.buf;
        const uint32_t *a = factors.buf, *b = terms.buf;
        uint32_t *least_of = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < texts; i++)
            for (Py_ssize_t p = 0; p < permutations; p++)
                least(all + from[i], from[i + 1] - from[i], a[p], b[p], least_of + i * permutations + p);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&hashes), PyBuffer_Release(&starts), PyBuffer_Release(&factors), PyBuffer_Release(&terms);
    PyBuffer_Release(&out);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef minhash_methods[] = {
    {"signatures", signatures, METH_VARARGS, "The least of each permutation over the hashes of each text."},
    {NULL, NULL, 0, NULL}};
