/* What is said again in a text: lines, paragraphs and n-grams of words; the twins are in `text.repetition`.
 *
 * Pieces get numbers, equal ones the same: compared byte by byte where their hashes are equal, so that the answer is
 * exact. What is made of pieces (a paragraph of lines, an n-gram of two shorter ones that overlap) is numbered by theirs.
 */
#include "windows.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = -1, MOST_PIECES = 1 << 30 };

struct piece {
    struct text text;
    uint64_t hash;
};

/* Numbers from 0 for the different pieces seen; a slot holds one of them, or NONE. */
struct numbers {
    struct piece *pieces;
    int32_t *slots;
    Py_ssize_t many, room, slot_room;
    uint64_t mask;
};

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 32, x *= 0x9E3779B97F4A7C15;
    x ^= x >> 29, x *= 0xBF58476D1CE4E5B9;
    return x ^ x >> 32;
}

/* Of fewer than eight bytes the hash tells what they are, for so many: pieces of one size differ where it does. */
static uint64_t hash_of(struct text text)
{
    size_t size = (size_t)(text.end - text.at);
    uint64_t found = size * 0x9E3779B97F4A7C15, part = 0;
    if (size < 4) {
        if (size)
            part = text.at[0] | (uint64_t)text.at[size / 2] << 8 | (uint64_t)text.at[size - 1] << 16;
        return mixed(found ^ part);
    }
    if (size < 8) {
        uint32_t first, last;
        memcpy(&first, text.at, 4), memcpy(&last, text.end - 4, 4);
        return mixed(found ^ (first | (uint64_t)last << 32));
    }
    for (; text.end - text.at > 8; text.at += 8) {
        memcpy(&part, text.at, 8);
        found = mixed(found ^ part);
    }
    memcpy(&part, text.end - 8, 8);
    return mixed(found ^ part);
}

/* Make room for so many pieces and forget those seen; 0 where there is no memory. */
static int forget(struct numbers *numbers, Py_ssize_t most)
{
    Py_ssize_t slots = 16;
    if (most > MOST_PIECES)
        return 0;
    while (slots < 2 * most)
        slots *= 2;
    if (most > numbers->room) {
        free(numbers->pieces);
        numbers->pieces = malloc((size_t)most * sizeof *numbers->pieces);
        numbers->room = numbers->pieces ? most : 0;
    }
    if (slots > numbers->slot_room) {
        free(numbers->slots);
        numbers->slots = malloc((size_t)slots * sizeof *numbers->slots);
        numbers->slot_room = numbers->slots ? slots : 0;
    }
    if (most > numbers->room || slots > numbers->slot_room)
        return 0;
    memset(numbers->slots, 0xFF, (size_t)slots * sizeof *numbers->slots);
    numbers->mask = (uint64_t)slots - 1, numbers->many = 0;
    return 1;
}

/* The number of this piece, whose hash this is. Room was made for as many as there are. */
static int32_t number_by(struct numbers *numbers, struct text text, uint64_t hash)
{
    size_t size = (size_t)(text.end - text.at);
    for (uint64_t at = hash & numbers->mask;; at = (at + 1) & numbers->mask) {
        int32_t number = numbers->slots[at];
        if (number == NONE) {
            numbers->pieces[numbers->many] = (struct piece){text, hash};
            return numbers->slots[at] = (int32_t)numbers->many++;
        }
        struct piece *seen = numbers->pieces + number;
        if (seen->hash == hash && (size_t)(seen->text.end - seen->text.at) == size &&
            (size < 8 || !memcmp(seen->text.at, text.at, size)))
            return number;
    }
}

static int32_t number_of(struct numbers *numbers, struct text text)
{
    return number_by(numbers, text, hash_of(text));
}

/* The number of an n-gram by the numbers of its two parts: no two have this hash. */
static int32_t number_of_two(struct numbers *numbers, int32_t one, int32_t two)
{
    struct text none = {NO_TEXT, NO_TEXT};
    return number_by(numbers, none, mixed((uint64_t)one << 32 | (uint32_t)two));
}

static int64_t signs_in(struct text text)
{
    int64_t signs = 0;
    for (const uint8_t *at = text.at; at < text.end; at++)
        signs += (*at & 0xC0) != 0x80;
    return signs;
}

/* What is told of lines and, behind them, of paragraphs: how many, of them how many that came before; characters. */
enum { MANY, AGAIN, SIGNS, SIGNS_AGAIN, TOLD };

static void tell(struct numbers *numbers, struct text piece, int64_t signs, int64_t *told, int32_t *number)
{
    Py_ssize_t seen = numbers->many;
    *number = number_of(numbers, piece);
    told[MANY]++, told[SIGNS] += signs;
    if (numbers->many == seen)
        told[AGAIN]++, told[SIGNS_AGAIN] += signs;
}

struct paragraph {
    Py_ssize_t first, last;
    int64_t signs;
};

/* `lines` has room for as many numbers as the text has lines, and so has `paragraphs`. */
static int tell_lines(struct properties table, struct text text, Py_ssize_t most, struct numbers *numbers,
                      int32_t *lines, struct paragraph *paragraphs, int64_t *told)
{
    Py_ssize_t many = 0, parts = 0;
    int open = 0;
    if (!forget(numbers, most))
        return 0;
    for (const uint8_t *at = text.at;;) {
        const uint8_t *feed = at < text.end ? memchr(at, '\n', (size_t)(text.end - at)) : NULL;
        struct text line = stripped(table, (struct text){at, feed ? feed : text.end});
        if (line.at < line.end) {
            int64_t signs = signs_in(line);
            tell(numbers, line, signs, told, lines + many);
            if (!open)
                paragraphs[parts++] = (struct paragraph){many, many, -1};
            paragraphs[parts - 1].last = ++many;
            paragraphs[parts - 1].signs += signs + 1; /* the line feed between two */
        }
        open = line.at < line.end;
        if (!feed)
            break;
        at = feed + 1;
    }
    if (!told[AGAIN])
        return 1; /* a paragraph that comes again brings lines that do */
    if (!forget(numbers, parts))
        return 0;
    for (Py_ssize_t i = 0; i < parts; i++) {
        struct text piece = {(uint8_t *)(lines + paragraphs[i].first), (uint8_t *)(lines + paragraphs[i].last)};
        int32_t number;
        tell(numbers, piece, paragraphs[i].signs, told + TOLD, &number);
    }
    return 1;
}

static Py_ssize_t lines_in(struct text text)
{
    Py_ssize_t found = 1;
    while (text.at < text.end && (text.at = memchr(text.at, '\n', (size_t)(text.end - text.at))))
        found++, text.at++;
    return found;
}

static int tell_texts(struct column column, struct properties table, int64_t *told)
{
    struct numbers numbers = {0};
    int32_t *lines = NULL;
    struct paragraph *paragraphs = NULL;
    Py_ssize_t room = 0;
    int right = 1;
    memset(told, 0, (size_t)column.length * 2 * TOLD * sizeof *told);
    for (Py_ssize_t i = 0; right && i < column.length; i++) {
        Py_ssize_t most = lines_in(column.texts[i]);
        if (most < 2)
            continue; /* nothing comes again */
        if (most > room) {
            free(lines), free(paragraphs);
            lines = malloc((size_t)most * sizeof *lines), paragraphs = malloc((size_t)most * sizeof *paragraphs);
            right = lines && paragraphs;
            room = most;
        }
        right = right &&
                tell_lines(table, column.texts[i], most, &numbers, lines, paragraphs, told + i * 2 * TOLD);
    }
    free(lines), free(paragraphs), free(numbers.pieces), free(numbers.slots);
    return right;
}

/* said_again(texts, table u8[0x110000], wanted u8[0x110], out i64[texts][8]) */
static PyObject *said_again(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    Py_buffer table, wanted, out;
    struct column column;
    if (!PyArg_ParseTuple(args, "Oy*w*w*", &capsule, &table, &wanted, &out))
        return NULL;
    int right = column_opened(capsule, &column) && holds(&table, "table", CODES, 1) &&
                holds(&wanted, "wanted", PAGES, 1) && holds(&out, "out", column.length * 2 * TOLD, sizeof(int64_t));
    if (right) {
        Py_BEGIN_ALLOW_THREADS;
        right = tell_texts(column, (struct properties){table.buf, wanted.buf}, out.buf);
        Py_END_ALLOW_THREADS;
        if (!right)
            PyErr_NoMemory();
    }
    column_closed(&column);
    PyBuffer_Release(&table), PyBuffer_Release(&wanted), PyBuffer_Release(&out);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

/* The words of a text, and of the n-grams that begin with each of them its number, or NONE where it comes once. */
struct words {
    Py_ssize_t many, room;
    int64_t *before; /* characters of the words in front of each, and at the end of all */
    struct text *texts;
    int32_t *numbers, *times, *first, *places;
};

/* Limits of the share in the most frequent n-gram, or of what n-grams cover that came before, for each n. */
struct limits {
    const int64_t *n;
    const double *most;
    Py_ssize_t many;
};

/* The array with room for so many items; as it was, and `right` 0, where there is no memory. */
static void *grown(void *array, Py_ssize_t items, size_t size, int *right)
{
    void *found = realloc(array, (size_t)items * size);
    *right = *right && found;
    return found ? found : array;
}

static int more_words(struct words *words)
{
    Py_ssize_t room = words->room ? 2 * words->room : 1024, many = room + 1;
    int right = room <= MOST_PIECES;
    if (!right)
        return 0;
    words->before = grown(words->before, many, sizeof *words->before, &right);
    words->texts = grown(words->texts, many, sizeof *words->texts, &right);
    words->numbers = grown(words->numbers, many, sizeof *words->numbers, &right);
    words->times = grown(words->times, many, sizeof *words->times, &right);
    words->first = grown(words->first, many, sizeof *words->first, &right);
    words->places = grown(words->places, many, sizeof *words->places, &right);
    words->room = room;
    return right;
}

/* A run ends: kept where it is a word. */
static int end_word(struct words *words, struct text run, unsigned bits, int64_t signs)
{
    if (!(bits & WORD))
        return 1;
    if (words->many == words->room && !more_words(words))
        return 0;
    words->before[words->many + 1] = words->before[words->many] + signs;
    words->texts[words->many++] = run;
    return 1;
}

/* The run that a text is being read in: where it begins, the properties met, its characters. */
struct run {
    const uint8_t *at;
    unsigned met;
    int64_t signs;
};

/* Read 64 characters of ASCII, or fewer: from one space to the next. */
static int read_plain(const uint8_t plain[0x80], const uint8_t *at, Py_ssize_t size, struct words *words,
                      struct run *run)
{
    struct window window = window_of(plain, at, size);
    uint64_t spaces = plane(window, 0), marks = plane(window, 3), before = 0; /* all bits below `from` */
    int from = 0;
    for (; spaces; spaces &= spaces - 1) {
        int until = lowest(spaces);
        uint64_t below = ((uint64_t)1 << until) - 1;
        run->met |= marks & below & ~before ? WORD : 0, run->signs += until - from;
        if (!end_word(words, (struct text){run->at, at + (until < size ? until : size)}, run->met, run->signs))
            return 0;
        if (until >= size) {
            *run = (struct run){at + size, 0, 0};
            return 1;
        }
        from = until + 1, before = below << 1 | 1;
        *run = (struct run){at + from, 0, 0};
    }
    run->met |= marks & ~before ? WORD : 0, run->signs += WINDOW - from;
    return 1;
}

static int read_words(struct properties table, const uint8_t plain[0x80], struct text text, struct words *words)
{
    struct run run = {text.at, 0, 0};
    if (!words->room && !more_words(words))
        return 0;
    words->many = 0, words->before[0] = 0;
    for (const uint8_t *at = text.at; at < text.end;) {
        Py_ssize_t size = text.end - at < WINDOW ? text.end - at : WINDOW;
        if (all_plain(at, size)) {
            if (!read_plain(plain, at, size, words, &run))
                return 0;
            at += size;
            continue;
        }
        for (const uint8_t *until = at + size; at < until;) {
            const uint8_t *here = at;
            unsigned bits = properties_of(table, next_code(&at, text.end));
            if (!(bits & (SPACE | HAN))) {
                run.met |= bits, run.signs++;
                continue;
            }
            if (!end_word(words, (struct text){run.at, here}, run.met, run.signs) ||
                (bits & HAN && !end_word(words, (struct text){here, at}, bits, 1)))
                return 0;
            run = (struct run){at, 0, 0};
        }
    }
    return end_word(words, (struct text){run.at, text.end}, run.met, run.signs);
}

/* Of these places those whose n-gram comes more than once, first among the places then; NONE for the others. */
static Py_ssize_t kept(struct words *words, Py_ssize_t many)
{
    Py_ssize_t left = 0;
    for (Py_ssize_t i = 0; i < many; i++) {
        int32_t at = words->places[i], number = words->numbers[at];
        int again = words->times[number] > 1; /* which cannot be foreseen, hence no branch */
        words->places[left] = at;
        words->numbers[at] = number | (again - 1);
        left += again;
    }
    return left;
}

/* Number the n-grams at these places, `many` of them, by those of one word less, and say how many places have an n-gram
 * that comes more than once; they come first among the places then. */
static Py_ssize_t longer(struct words *words, struct numbers *numbers, Py_ssize_t many)
{
    Py_ssize_t left = 0;
    int32_t *of = words->numbers;
    if (!forget(numbers, many))
        return NONE;
    for (Py_ssize_t i = 0; i < many; i++) {
        int32_t at = words->places[i];
        if (at + 1 >= words->many || of[at] == NONE || of[at + 1] == NONE) {
            of[at] = NONE; /* what it holds comes once, or it would reach over the end */
            continue;
        }
        Py_ssize_t seen = numbers->many;
        int32_t number = number_of_two(numbers, of[at], of[at + 1]);
        if (numbers->many > seen)
            words->times[number] = 0, words->first[number] = at;
        words->times[number]++, of[at] = number;
        words->places[left++] = at;
    }
    return kept(words, left);
}

static int64_t most_frequent(const struct words *words, Py_ssize_t n, Py_ssize_t many)
{
    int64_t most = 0;
    for (Py_ssize_t i = 0; i < many; i++) {
        int32_t at = words->places[i], number = words->numbers[at];
        int64_t share = (words->before[at + n] - words->before[at]) * words->times[number];
        most = share > most ? share : most;
    }
    return most;
}

static int64_t covered(struct words *words, Py_ssize_t n, Py_ssize_t many)
{
    int64_t signs = 0;
    Py_ssize_t until = 0;
    for (Py_ssize_t i = 0; i < many; i++) {
        int32_t at = words->places[i];
        if (words->first[words->numbers[at]] == at)
            continue;
        Py_ssize_t from = at > until ? at : until;
        until = at + n;
        signs += words->before[until] - words->before[from];
    }
    return signs;
}

static int breaks(struct limits limits, Py_ssize_t n, int64_t part, int64_t whole)
{
    for (Py_ssize_t i = 0; i < limits.many; i++)
        if (limits.n[i] == n && (double)part / (double)(whole ? whole : 1) > limits.most[i])
            return 1;
    return 0;
}

static int asks(struct limits limits, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < limits.many; i++)
        if (limits.n[i] == n)
            return 1;
    return 0;
}

static int judge(struct words *words, struct numbers *numbers, struct limits top, struct limits repeated, Py_ssize_t most,
                 uint8_t over[2])
{
    if (!forget(numbers, words->many))
        return 0;
    for (Py_ssize_t i = 0; i < words->many; i++) {
        Py_ssize_t seen = numbers->many;
        int32_t number = words->numbers[i] = number_of(numbers, words->texts[i]);
        words->places[i] = (int32_t)i;
        words->times[number] = numbers->many > seen ? 1 : words->times[number] + 1;
    }
    Py_ssize_t many = kept(words, words->many);
    for (Py_ssize_t n = 2; n <= most && many && !(over[0] && over[1]); n++) {
        if ((many = longer(words, numbers, many)) < 0)
            return 0;
        if (!over[0] && asks(top, n))
            over[0] = (uint8_t)breaks(top, n, most_frequent(words, n, many), words->before[words->many]);
        if (!over[1] && asks(repeated, n))
            over[1] = (uint8_t)breaks(repeated, n, covered(words, n, many), words->before[words->many]);
    }
    return 1;
}

static int judge_texts(struct column column, const uint8_t *asked, struct properties table, struct limits top,
                       struct limits repeated, uint8_t *over)
{
    struct numbers numbers = {0};
    struct words words = {0};
    uint8_t plain[0x80];
    Py_ssize_t most = 0;
    int right = 1;
    for (uint32_t code = 0; code < 0x80; code++)
        plain[code] = properties_of(table, code);
    for (Py_ssize_t i = 0; i < top.many; i++)
        most = top.n[i] > most ? (Py_ssize_t)top.n[i] : most;
    for (Py_ssize_t i = 0; i < repeated.many; i++)
        most = repeated.n[i] > most ? (Py_ssize_t)repeated.n[i] : most;
    memset(over, 0, (size_t)column.length * 2);
    for (Py_ssize_t i = 0; right && i < column.length; i++) {
        struct text text = column.texts[i];
        if (!asked[i] || text.at == text.end)
            continue;
        right = read_words(table, plain, text, &words) &&
                judge(&words, &numbers, top, repeated, most, over + 2 * i);
    }
    free(words.before), free(words.texts), free(words.numbers), free(words.times), free(words.first);
    free(words.places), free(numbers.pieces), free(numbers.slots);
    return right;
}

/* ngrams_over(texts, asked u8[texts], table u8[0x110000], wanted u8[0x110], n_top i64[t], top f64[t], n_repeated i64[r],
 * repeated f64[r], out u8[texts][2]) */
static PyObject *ngrams_over(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    Py_buffer asked, table, wanted, n_top, top, n_repeated, repeated, out;
    struct column column;
    if (!PyArg_ParseTuple(args, "Oy*y*w*y*y*y*y*w*", &capsule, &asked, &table, &wanted, &n_top, &top, &n_repeated,
                          &repeated, &out))
        return NULL;
    int right = column_opened(capsule, &column) && holds(&asked, "asked", column.length, 1) &&
                holds(&table, "table", CODES, 1) && holds(&wanted, "wanted", PAGES, 1) &&
                holds(&n_top, "n_top", top.len / 8, 8) && holds(&top, "top", top.len / 8, 8) &&
                holds(&n_repeated, "n_repeated", repeated.len / 8, 8) &&
                holds(&repeated, "repeated", repeated.len / 8, 8) && holds(&out, "out", column.length, 2);
    if (right) {
        Py_BEGIN_ALLOW_THREADS;
        right = judge_texts(column, asked.buf, (struct properties){table.buf, wanted.buf},
                            (struct limits){n_top.buf, top.buf, top.len / 8},
                            (struct limits){n_repeated.buf, repeated.buf, repeated.len / 8}, out.buf);
        Py_END_ALLOW_THREADS;
        if (!right)
            PyErr_NoMemory();
    }
    column_closed(&column);
    PyBuffer_Release(&asked), PyBuffer_Release(&table), PyBuffer_Release(&wanted), PyBuffer_Release(&n_top);
    PyBuffer_Release(&top), PyBuffer_Release(&n_repeated), PyBuffer_Release(&repeated), PyBuffer_Release(&out);
    if (!right)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef repetition_methods[] = {
    {"said_again", said_again, METH_VARARGS, "Lines and paragraphs of each text, and those that came before."},
    {"ngrams_over", ngrams_over, METH_VARARGS, "Which texts break a limit of n-grams."},
    {NULL, NULL, 0, NULL}};
