/* Texts rewritten by what a table says of each code point; the twin is `prepare.normalize`, which makes the table.
 *
 * Nothing that the table lets through depends on its neighbours, white space apart: a text with anything else is left to
 * the twin.
 */
#include "columns.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

/* What is done with a code point, as `prepare.rewriting` has it. */
enum { KEEP, DROP, BLANK, SPACE_OUT, FEED, RETURN, SMALL, NARROW, NARROW_SMALL, DOTS, LEAVE };
/* What became of a text. */
enum { SAME, REWRITTEN, LEFT };

enum { STEP = 512, WIDE_TO_ASCII = 0xFEE0, TO_SMALL = 0x20 };

/* Whether all is printable ASCII with single spaces, no capitals where `small`: `(byte - 0x20) > 0x5E` is any other
 * byte. One byte behind `at` is looked at, which the text has. */
WIDE static int is_plain(const uint8_t *at, Py_ssize_t size, uint8_t small)
{
    uint8_t odd = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        uint8_t byte = at[i];
        odd |= (uint8_t)(byte - 0x20) > 0x5E;
        odd |= (byte == ' ') & (at[i + 1] == ' ');
        odd |= small & ((uint8_t)(byte - 'A') < 26);
    }
    return !odd;
}

/* Whether the text is as it should be, seen at a glance. */
static int needs_nothing(struct text text, uint8_t small)
{
    if (text.at == text.end)
        return 1;
    const uint8_t *last = text.end - 1;
    if (*text.at == ' ' || *last == ' ' || *last < 0x20 || *last > 0x7E || (small && *last >= 'A' && *last <= 'Z'))
        return 0;
    for (const uint8_t *at = text.at; at < last; at += STEP)
        if (!is_plain(at, last - at < STEP ? last - at : STEP, small))
            return 0;
    return 1;
}

/* White space that has been met and not been written yet. */
struct pending {
    int blank, feeds;
};

/* Write it where it is not at the start. */
static uint8_t *written(struct pending *pending, const uint8_t *begin, uint8_t *out)
{
    if (out > begin) {
        if (pending->feeds) {
            *out++ = '\n';
            if (pending->feeds > 1)
                *out++ = '\n';
        } else if (pending->blank) {
            *out++ = ' ';
        }
    }
    *pending = (struct pending){0, 0};
    return out;
}

/* Rewrite the text into `out`, where there is room for as many bytes: nothing that is written is longer than what it
 * stands for. The size; -1 where the text is left to the twin. With `spaces` white space is folded and line feeds among
 * it are counted; else FEED and RETURN are written as a line feed each, or one for both. */
static Py_ssize_t rewritten(struct properties table, const uint8_t plain[0x80], struct text text, int spaces,
                            uint8_t *begin)
{
    struct pending pending = {0, 0};
    uint8_t *out = begin;
    int returned = 0;
    for (const uint8_t *at = text.at; at < text.end;) {
        const uint8_t *here = at;
        uint32_t code = *at;
        uint8_t how = code < 0x80 ? (at++, plain[code]) : (code = next_code(&at, text.end), properties_of(table, code));
        if (how == DROP)
            continue;
        int second = returned && code == '\n';
        returned = how == RETURN;
        if (how == BLANK) {
            pending.blank = 1;
            continue;
        }
        if (how == FEED || how == RETURN) {
            if (second)
                continue;
            if (spaces)
                pending.feeds++;
            else
                *out++ = '\n';
            continue;
        }
        if (how >= LEAVE)
            return -1;
        if (pending.blank | pending.feeds)
            out = written(&pending, begin, out);
        switch (how) {
        case KEEP:
            while (here < at)
                *out++ = *here++;
            break;
        case SPACE_OUT:
            *out++ = ' ';
            break;
        case SMALL:
            *out++ = (uint8_t)(code + TO_SMALL);
            break;
        case NARROW:
            *out++ = (uint8_t)(code - WIDE_TO_ASCII);
            break;
        case NARROW_SMALL:
            *out++ = (uint8_t)(code - WIDE_TO_ASCII + TO_SMALL);
            break;
        case DOTS:
            if (at - here < 3)
                return -1; /* as long as they are */
            *out++ = '.', *out++ = '.', *out++ = '.';
            break;
        }
    }
    return out - begin;
}

/* What becomes of each text, and those that are rewritten in `made`, the first `many`; -1 where there is no memory. */
static Py_ssize_t rewrite_texts(struct column column, struct properties table, int spaces, uint8_t small, uint8_t *how,
                                struct texts *made)
{
    uint8_t plain[0x80];
    Py_ssize_t many = 0, room = 0;
    for (uint32_t code = 0; code < 0x80; code++)
        plain[code] = properties_of(table, code);
    for (Py_ssize_t i = 0; i < column.length; i++) {
        how[i] = needs_nothing(column.texts[i], small) ? SAME : REWRITTEN;
        if (how[i] == REWRITTEN) {
            many++;
            room += column.texts[i].end - column.texts[i].at;
        }
    }
    if (!texts_begin(made, many, room))
        return -1;
    many = 0;
    for (Py_ssize_t i = 0; i < column.length; i++) {
        if (how[i] != REWRITTEN)
            continue;
        struct text text = column.texts[i];
        uint8_t *begin = made->data + made->used;
        Py_ssize_t size = rewritten(table, plain, text, spaces, begin);
        if (size < 0)
            how[i] = LEFT;
        else if (size == text.end - text.at && !memcmp(begin, text.at, (size_t)size))
            how[i] = SAME;
        else
            texts_put(made, many++, begin, size);
    }
    made->length = many;
    return many;
}

/* rewritten_texts(texts, table u8[0x110000], wanted u8[0x110], spaces, small, how u8[texts]) -> schema and array of the
 * texts that are rewritten */
static PyObject *rewritten_texts(PyObject *self, PyObject *args)
{
    PyObject *capsule, *handed = NULL;
    Py_buffer table, wanted, how;
    int spaces, small;
    struct column column;
    struct texts made = {0};
    if (!PyArg_ParseTuple(args, "Oy*w*ppw*", &capsule, &table, &wanted, &spaces, &small, &how))
        return NULL;
    if (column_opened(capsule, &column) && holds(&table, "table", CODES, 1) && holds(&wanted, "wanted", PAGES, 1) &&
        holds(&how, "how", column.length, 1)) {
        Py_ssize_t many;
        Py_BEGIN_ALLOW_THREADS;
        many = rewrite_texts(column, (struct properties){table.buf, wanted.buf}, spaces, (uint8_t)(small != 0), how.buf,
                             &made);
        Py_END_ALLOW_THREADS;
        if (many < 0)
            PyErr_NoMemory();
        else
            handed = texts_handed(&made);
    }
    column_closed(&column);
    PyBuffer_Release(&table), PyBuffer_Release(&wanted), PyBuffer_Release(&how);
    return handed;
}

PyMethodDef normalize_methods[] = {
    {"rewritten_texts", rewritten_texts, METH_VARARGS, "The texts that a table rewrites, and what became of each."},
    {NULL, NULL, 0, NULL}};
