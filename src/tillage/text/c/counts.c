/* What is counted in a text, and which words of a list it has; the twins are `text.measures.count` and
 * `prepare.filter_quality`. */
#include "windows.h"

#include <stdlib.h>
#include <string.h>

/* The columns of `text.measures.COUNTS`, in order. */
enum {
    CHARACTERS, NONSPACE, WORDS, HAN_SIGNS, ALPHABETIC_WORDS, WORD_CHARACTERS, HASHES, ELLIPSES,
    LINES, BULLET_LINES, ELLIPSIS_LINES, ENDED_LINES, SHORT_LINES, COUNTS
};
enum { SHORT_LINE = 30, HASH = 0x10, ELLIPSIS = 0x2026 };

struct signs {
    const uint32_t *of;
    Py_ssize_t many;
};

/* What every text is counted by. */
struct rules {
    struct properties table;
    uint8_t plain[0x80]; /* the properties of ASCII, and HASH */
    struct signs bullets, endings;
};

static int among(struct signs signs, uint32_t code)
{
    for (Py_ssize_t i = 0; i < signs.many; i++)
        if (signs.of[i] == code)
            return 1;
    return 0;
}

/* What has been counted of a text's characters and words. A word is a run between white space that holds a character
 * of WORD, and is alphabetic when it holds a letter; a Han character is a run of its own. */
struct tally {
    int64_t characters, spaces, words, alphabetic, in_words, hashes, han;
    /* 1 where the run that has not ended holds one of WORD, a letter. */
    uint64_t word, letter;
};

/* How many runs that hold one of `marks` end in front of a space here. Added to the characters of its run, a mark
 * carries into the space behind it; two do so once, and what is carried out of here goes on in the next 64. */
static int64_t ended(uint64_t spaces, uint64_t marks, uint64_t *carry)
{
    uint64_t sum = ~spaces + marks, over = sum < marks;
    sum += *carry;
    *carry = over | (sum < *carry);
    return ones(sum & spaces);
}

/* Count 64 characters of ASCII, or fewer at the end of a text, at once. Where words end cannot be foreseen, so that
 * every branch on it costs more than all of this. */
static void count_plain(const struct rules *rules, const uint8_t *at, Py_ssize_t size, struct tally *n)
{
    struct window window = window_of(rules->plain, at, size);
    uint64_t spaces = plane(window, 0), words = plane(window, 3);
    n->characters += size, n->spaces += ones(spaces) - (WINDOW - size);
    n->in_words += ones(words), n->hashes += ones(plane(window, 4));
    n->words += ended(spaces, words, &n->word), n->alphabetic += ended(spaces, plane(window, 2), &n->letter);
}

/* Count one character, of any script. */
static void count_code(const struct rules *rules, uint32_t code, struct tally *n)
{
    uint8_t bits = properties_of(rules->table, code);
    n->characters++;
    if (bits & (SPACE | HAN)) {
        n->words += (int64_t)n->word, n->alphabetic += (int64_t)n->letter;
        n->word = n->letter = 0;
    }
    if (bits & HAN) {
        n->han++, n->words += bits >> 3 & 1, n->alphabetic += bits >> 2 & 1;
        return;
    }
    n->spaces += bits & SPACE, n->in_words += bits >> 3 & 1, n->hashes += code == '#';
    n->word |= bits >> 3 & 1, n->letter |= bits >> 2 & 1;
}

/* Each third dot of a run, and U+2026. */
static int64_t ellipses(struct text text)
{
    int64_t found = 0;
    for (const uint8_t *at = text.at; at < text.end && (at = memchr(at, '.', (size_t)(text.end - at)));) {
        const uint8_t *dot = at;
        while (at < text.end && *at == '.')
            at++;
        found += (at - dot) / 3;
    }
    return found;
}

static void count_words(const struct rules *rules, struct text text, int64_t *n)
{
    struct tally tally = {0};
    int64_t signs = 0;
    for (const uint8_t *at = text.at; at < text.end;) {
        Py_ssize_t size = text.end - at < WINDOW ? text.end - at : WINDOW;
        if (all_plain(at, size)) {
            count_plain(rules, at, size, &tally);
            at += size;
            continue;
        }
        for (const uint8_t *until = at + size; at < until;) {
            uint32_t code = next_code(&at, text.end);
            count_code(rules, code, &tally);
            signs += code == ELLIPSIS;
        }
    }
    n[CHARACTERS] = tally.characters, n[NONSPACE] = tally.characters - tally.spaces, n[HAN_SIGNS] = tally.han;
    n[WORDS] = tally.words + (int64_t)tally.word, n[ALPHABETIC_WORDS] = tally.alphabetic + (int64_t)tally.letter;
    n[WORD_CHARACTERS] = tally.in_words, n[HASHES] = tally.hashes, n[ELLIPSES] = signs + ellipses(text);
}

/* All that is asked of a line that is not blank, white space at its ends apart. */
static void count_line(const struct rules *rules, struct text line, int64_t *n)
{
    line = stripped(rules->table, line);
    if (line.at == line.end)
        return;
    const uint8_t *at = line.at, *last = code_before(line.at, line.end);
    uint32_t first = next_code(&at, line.end), ends = next_code(&last, line.end);
    Py_ssize_t size = line.end - line.at;
    n[LINES]++;
    n[BULLET_LINES] += among(rules->bullets, first);
    n[ENDED_LINES] += among(rules->endings, ends);
    n[ELLIPSIS_LINES] += ends == ELLIPSIS || (size >= 3 && !memcmp(line.end - 3, "...", 3));
    int signs = 1;
    while (signs <= SHORT_LINE && at < line.end)
        next_code(&at, line.end), signs++;
    n[SHORT_LINES] += signs <= SHORT_LINE;
}

static void count_text(const struct rules *rules, struct text text, int64_t *n)
{
    memset(n, 0, COUNTS * sizeof *n);
    count_words(rules, text, n);
    for (;;) {
        const uint8_t *feed = text.at < text.end ? memchr(text.at, '\n', (size_t)(text.end - text.at)) : NULL;
        count_line(rules, (struct text){text.at, feed ? feed : text.end}, n);
        if (!feed)
            return;
        text.at = feed + 1;
    }
}

/* text_counts(texts, table u8[0x110000], wanted u8[0x110], bullets u32[b], endings u32[e], out i64[texts][13]) */
static PyObject *text_counts(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    Py_buffer table, wanted, bullets, endings, out;
    struct column column;
    if (!PyArg_ParseTuple(args, "Oy*w*y*y*w*", &capsule, &table, &wanted, &bullets, &endings, &out))
        return NULL;
    int right = column_opened(capsule, &column) && holds(&table, "table", CODES, 1) &&
                holds(&wanted, "wanted", PAGES, 1) && holds(&bullets, "bullets", bullets.len / 4, 4) &&
                holds(&endings, "endings", endings.len / 4, 4) &&
                holds(&out, "out", column.length * COUNTS, sizeof(int64_t));
    if (right) {
        struct rules rules = {.table = {table.buf, wanted.buf},
                              .bullets = {bullets.buf, bullets.len / 4},
                              .endings = {endings.buf, endings.len / 4}};
        int64_t *n = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (uint32_t code = 0; code < 0x80; code++)
            rules.plain[code] = properties_of(rules.table, code);
        rules.plain['#'] |= HASH;
        for (Py_ssize_t i = 0; i < column.length; i++)
            count_text(&rules, column.texts[i], n + i * COUNTS);
        Py_END_ALLOW_THREADS;
    }
    column_closed(&column);
    PyBuffer_Release(&table), PyBuffer_Release(&wanted), PyBuffer_Release(&bullets), PyBuffer_Release(&endings);
    PyBuffer_Release(&out);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

/* The words that are looked for: `many` of them from `starts[i]` to `starts[i + 1]` in `bytes`, the first `whole` of
 * small letters of ASCII, to be found as whole runs of letters; the others of Han characters, to be found anywhere. */
struct list {
    const uint8_t *bytes;
    const int64_t *starts;
    Py_ssize_t many, whole;
};

/* A letter in small, where it is one of ASCII or folds to one: U+017F to s, U+212A to k. */
static uint8_t small(uint32_t code)
{
    return code < 0x80 ? (uint8_t)(code | 0x20) : code == 0x17F ? 's' : code == 0x212A ? 'k' : 0;
}

/* How many different words of the list a text has; no more than `least` are counted. `met[i]` is `turn` for those that
 * were met. `letters` has room for the longest word of the list, which is `longest`. */
static int64_t different(struct properties table, struct list list, struct text text, int64_t least, int64_t *met,
                         int64_t turn, uint8_t *letters, Py_ssize_t longest)
{
    int64_t found = 0;
    Py_ssize_t run = 0;
    const uint8_t *at = text.at;
    for (int more = 1; more && found < least;) {
        const uint8_t *here = at;
        uint32_t code = 0;
        more = at < text.end;
        uint8_t bits = more ? properties_of(table, code = next_code(&at, text.end)) : 0;
        if (bits & LETTER) {
            if (run < longest)
                letters[run] = small(code);
            run++;
        } else {
            for (Py_ssize_t i = 0; run && run <= longest && i < list.whole; i++)
                if (list.starts[i + 1] - list.starts[i] == run && met[i] != turn &&
                    !memcmp(letters, list.bytes + list.starts[i], (size_t)run))
                    met[i] = turn, found++;
            run = 0;
        }
        for (Py_ssize_t i = list.whole; bits & HAN && i < list.many; i++) {
            int64_t size = list.starts[i + 1] - list.starts[i];
            if (met[i] != turn && size <= text.end - here &&
                !memcmp(here, list.bytes + list.starts[i], (size_t)size))
                met[i] = turn, found++;
        }
    }
    return found;
}

/* listed_words(texts, asked u8[texts], table u8[0x110000], wanted u8[0x110], bytes, starts i64[words + 1], whole,
 * least, out i64[texts]) */
static PyObject *listed_words(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    Py_buffer asked, table, wanted, bytes, starts, out;
    Py_ssize_t whole;
    long long least;
    struct column column;
    if (!PyArg_ParseTuple(args, "Oy*y*w*y*y*nLw*", &capsule, &asked, &table, &wanted, &bytes, &starts, &whole, &least,
                          &out))
        return NULL;
    int right = column_opened(capsule, &column) && holds(&asked, "asked", column.length, 1) &&
                holds(&table, "table", CODES, 1) && holds(&wanted, "wanted", PAGES, 1) &&
                ascends(&starts, "starts", bytes.len) && holds(&out, "out", column.length, sizeof(int64_t));
    Py_ssize_t many = starts.len / 8 - 1, longest = 0;
    if (right && (whole < 0 || whole > many)) {
        PyErr_Format(PyExc_ValueError, "%zd of %zd words cannot be whole", whole, many);
        right = 0;
    }
    int64_t *met = NULL;
    uint8_t *letters = NULL;
    if (right) {
        const int64_t *from = starts.buf;
        for (Py_ssize_t i = 0; i < whole; i++)
            longest = from[i + 1] - from[i] > longest ? from[i + 1] - from[i] : longest;
        met = calloc((size_t)many + 1, sizeof *met);
        letters = malloc((size_t)longest + 1);
        right = met && letters;
        if (!right)
            PyErr_NoMemory();
    }
    if (right) {
        struct properties properties = {table.buf, wanted.buf};
        struct list list = {bytes.buf, starts.buf, many, whole};
        const uint8_t *which = asked.buf;
        int64_t *found = out.buf;
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; i < column.length; i++)
            found[i] = which[i] ? different(properties, list, column.texts[i], least, met, i + 1, letters, longest) : 0;
        Py_END_ALLOW_THREADS;
    }
    free(met), free(letters);
    column_closed(&column);
    PyBuffer_Release(&asked), PyBuffer_Release(&table), PyBuffer_Release(&wanted), PyBuffer_Release(&bytes);
    PyBuffer_Release(&starts), PyBuffer_Release(&out);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef counts_methods[] = {
    {"text_counts", text_counts, METH_VARARGS, "What is counted in each text."},
    {"listed_words", listed_words, METH_VARARGS, "How many different words of a list each text has."},
    {NULL, NULL, 0, NULL}};
