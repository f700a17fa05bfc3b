/* What every function of this extension needs: arrays of Python's buffer protocol, with the type and length told.
 *
 * A function is given whole arrays and writes into arrays that its caller made; it allocates nothing that it keeps, and
 * lets other threads run while it reads. Its Python twin says what it means; here only the speed is added.
 */
#ifndef TILLAGE_ARRAYS_H
#define TILLAGE_ARRAYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#if defined(__GNUC__) && defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

/* Whether a buffer holds exactly so many items of so many bytes; sets ValueError and says 0 otherwise. */
int holds(const Py_buffer *array, const char *name, Py_ssize_t items, Py_ssize_t size);

/* Whether bounds ascend from 0 at the least to `end` at the most; sets ValueError and says 0 otherwise. */
int ascends(const Py_buffer *bounds, const char *name, Py_ssize_t end);

extern PyMethodDef counts_methods[];
extern PyMethodDef joined_methods[];
extern PyMethodDef json_lines_methods[];
extern PyMethodDef links_methods[];
extern PyMethodDef minhash_methods[];
extern PyMethodDef normalize_methods[];
extern PyMethodDef repetition_methods[];
extern PyMethodDef shapes_methods[];
extern PyMethodDef shingles_methods[];

#endif
