/* The compiled extension: the methods of its files under one name, in the stable ABI of Python 3.11 and up. */
#include "arrays.h"

int holds(const Py_buffer *array, const char *name, Py_ssize_t items, Py_ssize_t size)
{
    if (items >= 0 && items <= PY_SSIZE_T_MAX / size && array->len == items * size)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, not %zd items of %zd", name, array->len, items, size);
    return 0;
}

int ascends(const Py_buffer *bounds, const char *name, Py_ssize_t end)
{
    const int64_t *at = bounds->buf;
    Py_ssize_t items = bounds->len / 8;
    int right = bounds->len % 8 == 0 && items > 0 && at[0] >= 0 && at[items - 1] <= end;
    for (Py_ssize_t i = 1; right && i < items; i++)
        right = at[i - 1] <= at[i];
    if (!right)
        PyErr_Format(PyExc_ValueError, "%s do not ascend from 0 to %zd", name, end);
    return right;
}

static int add_methods(PyObject *module)
{
    PyMethodDef *files[] = {
        counts_methods,
        joined_methods,
        json_lines_methods,
        links_methods,
        minhash_methods,
        normalize_methods,
        repetition_methods,
        shapes_methods,
        shingles_methods,
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (PyModule_AddFunctions(module, files[i]) < 0)
            return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_methods}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_doc = "Texts read byte by byte.", .m_slots = slots};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
