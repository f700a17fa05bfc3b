/* Components of texts that are linked by the Jaccard similarity of their shingles; the twin is `text.links.connect`. */
#include "arrays.h"

/* Who stands for a component: the least of it. On the way there the path is made shorter. */
static int64_t root(int64_t *parent, int64_t n)
{
    while (parent[n] != n) {
        parent[n] = parent[parent[n]];
        n = parent[n];
    }
    return n;
}

/* How many elements two sorted arrays without repetitions have in common. */
static int64_t common(const uint64_t *a, int64_t many, const uint64_t *b, int64_t others)
{
    int64_t found = 0, i = 0, j = 0;
    while (i < many && j < others) {
        uint64_t x = a[i], y = b[j];
        found += x == y;
        i += x <= y; /* no branch: which one is less cannot be foretold */
        j += y <= x;
    }
    return found;
}

static int similar(const uint64_t *a, int64_t many, const uint64_t *b, int64_t others, double similarity)
{
    double fewer = (double)(many < others ? many : others), more = (double)(many < others ? others : many);
    if (fewer / more < similarity) /* no pair is more alike than its sizes */
        return 0;
    int64_t both = common(a, many, b, others);
    return (double)both / (double)(many + others - both) >= similarity;
}

/* components(hashes u64[n], first i64[sets], last i64[sets], members i64[m], sizes i64[groups], similarity,
 *            labels i64[sets])
 *
 * `labels` holds the number of each set; afterwards, the least number of its component. It says how many pairs it had to
 * compare. */
static PyObject *components(PyObject *self, PyObject *args)
{
    Py_buffer hashes, first, last, members, sizes, labels;
    double similarity;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*dw*", &hashes, &first, &last, &members, &sizes, &similarity, &labels))
        return NULL;
    Py_ssize_t sets = first.len / 8, many = members.len / 8, groups = sizes.len / 8, compared = 0;
    int right = holds(&first, "first", sets, 8) && holds(&last, "last", sets, 8) &&
                holds(&members, "members", many, 8) && holds(&sizes, "sizes", groups, 8) &&
                holds(&labels, "labels", sets, 8);
    const int64_t *from = first.buf, *until = last.buf, *member = members.buf, *size = sizes.buf;
    int64_t *parent = labels.buf, left = many;
    for (Py_ssize_t i = 0; right && i < sets; i++)
        right = parent[i] == i;
    for (Py_ssize_t i = 0; right && i < many; i++) {
        int64_t n = member[i];
        right = n >= 0 && n < sets && from[n] >= 0 && from[n] < until[n] && until[n] <= hashes.len / 8;
    }
    for (Py_ssize_t i = 0; right && i < groups; i++) {
        right = size[i] >= 0 && size[i] <= left;
        left -= size[i];
    }
    if (right) {
        const uint64_t *hash = hashes.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t g = 0; g < groups; member += size[g++]) {
            int is_one = 0;
            for (int64_t i = 0; i < size[g] && !is_one; i++) {
                int64_t head = member[i], rest = -1;
                is_one = 1; /* unless those behind this one turn out to be in two components */
                for (int64_t j = i + 1; j < size[g]; j++) {
                    int64_t other = member[j], a = root(parent, head), b = root(parent, other);
                    if (a != b) {
                        compared++;
                        if (similar(hash + from[head], until[head] - from[head], hash + from[other],
                                    until[other] - from[other], similarity)) {
                            parent[a < b ? b : a] = a < b ? a : b;
                            b = root(parent, b);
                        }
                    }
                    is_one &= rest == -1 || rest == b;
                    rest = b;
                }
            }
        }
        for (Py_ssize_t n = 0; n < sets; n++)
            parent[n] = root(parent, n);
        Py_END_ALLOW_THREADS;
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "labels are no numbers of sets, or groups name sets that are not there");
    PyBuffer_Release(&hashes), PyBuffer_Release(&first), PyBuffer_Release(&last), PyBuffer_Release(&members);
    PyBuffer_Release(&sizes), PyBuffer_Release(&labels);
    return right ? PyLong_FromSsize_t(compared) : NULL;
}

PyMethodDef links_methods[] = {
    {"components", components, METH_VARARGS, "The components of sets linked by their Jaccard similarity within groups."},
    {NULL, NULL, 0, NULL}};
