/* A column of texts read where it lies: the Arrow C stream of a Polars series, without a copy.
 *
 * What the stream says of its buffers is checked before anything is read. Source: Apache Arrow columnar format 1.4,
 * C stream interface and Utf8View.
 */
#ifndef TILLAGE_VIEWS_H
#define TILLAGE_VIEWS_H

#include "arrays.h"

/* The bytes of one text, in UTF-8. A null has none, and stands at NO_TEXT. */
struct text {
    const uint8_t *at, *end;
};

struct column {
    Py_ssize_t length;
    struct text *texts;
    struct ArrowArray *pieces;
    Py_ssize_t several;
};

extern const uint8_t NO_TEXT[1];

/* The texts of a capsule that `Series.__arrow_c_stream__` made, which is used up by it; 0 with an error set where it is
 * none, or holds no texts. */
int column_opened(PyObject *capsule, struct column *column);

/* Give back what was opened, opened in part too. */
void column_closed(struct column *column);

#endif
