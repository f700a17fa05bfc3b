/* A column of texts made in C and handed to Polars without a copy: a string view array of the Arrow C data interface.
 *
 * The memory belongs to the column and is freed by whoever drops it last, on any thread, without Python's lock: that is
 * why it is not an array of Python's. Source: Apache Arrow columnar format 1.4, C data interface and Utf8View.
 */
#ifndef TILLAGE_COLUMNS_H
#define TILLAGE_COLUMNS_H

#include "arrays.h"

/* A column in the making: `room` bytes for the texts that do not stand in their views, `used` of them taken. */
struct texts {
    Py_ssize_t length, absent, room, used;
    uint8_t *views, *present, *data;
    void *memory;
};

enum { VIEW = 16, INLINE = 12 };

/* 0 where there is no memory, or more of it is wanted than views can tell the places of. Needs no lock. */
int texts_begin(struct texts *made, Py_ssize_t length, Py_ssize_t room);

/* The text of row i: the `size` bytes that its writer put at `data + used`, or of which `bytes` tells the place. */
void texts_put(struct texts *made, Py_ssize_t i, const uint8_t *bytes, Py_ssize_t size);

/* Null in row i. */
void texts_skip(struct texts *made, Py_ssize_t i);

/* A tuple of the schema's capsule and the array's, to which the memory belongs from here on; NULL with an error set. */
PyObject *texts_handed(struct texts *made);

#endif
