/* See columns.h. */
#include "columns.h"
#include "arrow.h"

#include <stdlib.h>
#include <string.h>

/* Before the views in the one piece of memory: what the array's `buffers` point to, and the size of the data. */
struct head {
    const void *buffers[4];
    int64_t sizes[2];
};

static void release_schema(struct ArrowSchema *schema) { schema->release = NULL; }

static void release_array(struct ArrowArray *array)
{
    free(array->private_data);
    array->release = NULL;
}

static void drop_schema(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema->release)
        schema->release(schema);
    free(schema);
}

static void drop_array(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array->release)
        array->release(array);
    free(array);
}

int texts_begin(struct texts *made, Py_ssize_t length, Py_ssize_t room)
{
    memset(made, 0, sizeof *made);
    if (length > INT32_MAX || room > INT32_MAX)
        return 0;
    size_t head = (sizeof(struct head) + VIEW - 1) / VIEW * VIEW, bits = ((size_t)length + 7) / 8;
    uint8_t *memory = malloc(head + (size_t)length * VIEW + bits + (size_t)room);
    if (!memory)
        return 0;
    made->memory = memory, made->length = length, made->room = room;
    made->views = memory + head;
    made->present = made->views + length * VIEW;
    made->data = made->present + bits;
    memset(made->present, 0xFF, bits);
    return 1;
}

void texts_put(struct texts *made, Py_ssize_t i, const uint8_t *bytes, Py_ssize_t size)
{
    uint8_t *view = made->views + i * VIEW;
    int32_t told[4] = {(int32_t)size, 0, 0, (int32_t)made->used};
    if (size <= INLINE) {
        told[3] = 0;
        memcpy(told + 1, bytes, (size_t)size);
    } else {
        memcpy(told + 1, bytes, 4);
        if (bytes != made->data + made->used)
            memcpy(made->data + made->used, bytes, (size_t)size);
        made->used += size;
    }
    memcpy(view, told, VIEW);
}

void texts_skip(struct texts *made, Py_ssize_t i)
{
    memset(made->views + i * VIEW, 0, VIEW);
    made->present[i / 8] &= (uint8_t)~(1u << (i % 8));
    made->absent++;
}

PyObject *texts_handed(struct texts *made)
{
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    struct ArrowArray *array = calloc(1, sizeof *array);
    PyObject *told = schema ? PyCapsule_New(schema, "arrow_schema", drop_schema) : NULL;
    PyObject *held = array && told ? PyCapsule_New(array, "arrow_array", drop_array) : NULL;
    if (!held) {
        if (told)
            Py_DECREF(told);
        else
            free(schema);
        free(array), free(made->memory);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    struct head *head = made->memory;
    int filled = made->used > 0, at = 0;
    head->buffers[at++] = made->absent ? made->present : NULL;
    head->buffers[at++] = made->views;
    if (filled)
        head->buffers[at++] = made->data;
    head->sizes[0] = made->used;
    head->buffers[at++] = head->sizes;
    schema->format = "vu", schema->name = "", schema->flags = 2 /* may be null */, schema->release = release_schema;
    array->length = made->length, array->null_count = made->absent, array->n_buffers = at;
    array->buffers = head->buffers, array->release = release_array, array->private_data = made->memory;
    PyObject *both = PyTuple_Pack(2, told, held);
    Py_DECREF(told), Py_DECREF(held);
    return both;
}
