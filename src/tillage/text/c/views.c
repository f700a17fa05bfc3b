/* See views.h. */
#include "views.h"
#include "arrow.h"

#include <stdlib.h>
#include <string.h>

enum { VIEW_SIZE = 16, WITHIN = 12 };

const uint8_t NO_TEXT[1] = {0};

static int no(PyObject *error, const char *why)
{
    PyErr_SetString(error, why);
    return 0;
}

static int holds_texts(struct ArrowArrayStream *stream)
{
    struct ArrowSchema schema = {0};
    if (!stream->release || stream->get_schema(stream, &schema))
        return no(PyExc_ValueError, "the stream of a column has no schema");
    int right = !strcmp(schema.format, "vu");
    if (schema.release)
        schema.release(&schema);
    return right || no(PyExc_ValueError, "the stream holds no column of texts");
}

/* The texts of one piece, behind those before. */
static int listed(const struct ArrowArray *piece, struct text *texts)
{
    const uint8_t *present = piece->buffers[0], *views = piece->buffers[1];
    int64_t data = piece->n_buffers - 3;
    const int64_t *sizes = piece->buffers[data + 2];
    for (int64_t i = 0; i < piece->length; i++) {
        int64_t row = piece->offset + i;
        struct text *text = texts + i;
        if (present && !(present[row / 8] >> (row % 8) & 1)) {
            text->at = text->end = NO_TEXT;
            continue;
        }
        const uint8_t *view = views + row * VIEW_SIZE;
        int32_t told[4];
        memcpy(told, view, VIEW_SIZE);
        if (told[0] >= 0 && told[0] <= WITHIN)
            text->at = view + 4;
        else if (told[0] > 0 && told[2] >= 0 && told[2] < data && told[3] >= 0 &&
                 (int64_t)told[3] + told[0] <= sizes[told[2]])
            text->at = (const uint8_t *)piece->buffers[told[2] + 2] + told[3];
        else
            return no(PyExc_ValueError, "a text lies outside of its column");
        text->end = text->at + told[0];
    }
    return 1;
}

static int taken(struct ArrowArrayStream *stream, struct column *column)
{
    for (;;) {
        struct ArrowArray piece = {0};
        if (stream->get_next(stream, &piece))
            return no(PyExc_ValueError, "the stream of a column breaks off");
        if (!piece.release)
            return 1;
        size_t more = (size_t)(column->several + 1) * sizeof piece;
        struct ArrowArray *pieces = realloc(column->pieces, more);
        if (!pieces) {
            piece.release(&piece);
            PyErr_NoMemory();
            return 0;
        }
        column->pieces = pieces;
        pieces[column->several++] = piece;
        if (piece.length < 0 || piece.offset < 0 || piece.n_buffers < 3 ||
            piece.length > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(struct text) - column->length)
            return no(PyExc_ValueError, "a piece of a column of texts has the wrong buffers");
        column->length += piece.length;
    }
}

int column_opened(PyObject *capsule, struct column *column)
{
    memset(column, 0, sizeof *column);
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    if (!stream || !holds_texts(stream) || !taken(stream, column))
        return 0;
    column->texts = malloc((size_t)(column->length + 1) * sizeof(struct text));
    if (!column->texts) {
        PyErr_NoMemory();
        return 0;
    }
    struct text *at = column->texts;
    for (Py_ssize_t i = 0; i < column->several; at += column->pieces[i++].length)
        if (!listed(column->pieces + i, at))
            return 0;
    return 1;
}

void column_closed(struct column *column)
{
    for (Py_ssize_t i = 0; i < column->several; i++)
        if (column->pieces[i].release)
            column->pieces[i].release(column->pieces + i);
    free(column->pieces);
    free(column->texts);
}
