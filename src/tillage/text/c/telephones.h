/* Shapes of telephone numbers, from a digit, a plus or an opening bracket on; see shapes.c. */
#ifndef TILLAGE_TELEPHONES_H
#define TILLAGE_TELEPHONES_H

#include "signs.h"

/* Whether so many digits stand here, with no more than four signs between two of them. */
static int scattered(const struct text *t, int64_t i, int wanted)
{
    int apart = 0;
    for (; wanted && apart <= 4; i++) {
        int c = at(t, i);
        if (is_digit(c))
            wanted--, apart = 0;
        else if (is_one_of(c, " .()-"))
            apart++;
        else
            return 0;
    }
    return !wanted;
}

static int64_t mobile(const struct text *t, int64_t i)
{
    if (at(t, i) == '+')
        i++;
    else if (says(t, i, "0086"))
        i += 2;
    if (says(t, i, "86"))
        i += at(t, i + 2) == ' ' || at(t, i + 2) == '-' ? 3 : 2;
    if (at(t, i) != '1' || !between(at(t, i + 1), '3', '9') || !is_digit(at(t, i + 2)))
        return 0;
    int sign = at(t, i += 3);
    if (sign == ' ' || sign == '-') {
        int64_t second = past_digits(t, i + 1), third = past_digits(t, second + 1);
        return second - i == 5 && at(t, second) == sign && third - second == 5 ? MOBILE : 0;
    }
    return past_digits(t, i) - i == 8 ? MOBILE : 0;
}

static int64_t landline(const struct text *t, int64_t i)
{
    int bracket = at(t, i) == '(';
    i += bracket;
    int64_t end = past_digits(t, i), size = end - i;
    if (at(t, i) != '0' || at(t, i + 1) == '0' || size < 3 || size > 4)
        return 0;
    if (bracket ? at(t, end) != ')' : at(t, end) != ' ' && at(t, end) != '-')
        return 0;
    end++;
    end += bracket && (at(t, end) == ' ' || at(t, end) == '-');
    size = past_digits(t, end) - end;
    return size == 7 || size == 8 ? LANDLINE : 0;
}

static int64_t american(const struct text *t, int64_t i)
{
    if (at(t, i) == '1' && is_separator(at(t, i + 1)))
        i += 2;
    int bracket = at(t, i) == '(';
    i += bracket;
    int64_t end = past_digits(t, i);
    if (!between(at(t, i), '2', '9') || end - i != 3 || (bracket ? at(t, end) != ')' : !is_separator(at(t, end))))
        return 0;
    i = end + 1 + (bracket && is_separator(at(t, end + 1)));
    end = past_digits(t, i);
    return between(at(t, i), '2', '9') && end - i == 3 && is_separator(at(t, end)) &&
                   past_digits(t, end + 1) - end == 5
               ? AMERICAN
               : 0;
}

/* Seven digits at least, in groups of two to eight; more than fourteen are none, where they cannot be taken for fewer. */
static int64_t groups(const struct text *t, int64_t i)
{
    int bracket = at(t, i) == '(';
    i += bracket;
    int64_t end = past_digits(t, i), size = end - i, many = size;
    if (size < 2 || size > 5 || (bracket && at(t, end) != ')'))
        return 0;
    i = end + bracket;
    for (int group = 0; group < 5; group++, i = end) {
        if (is_separator(at(t, i)))
            i++;
        else if (!bracket || group)
            break;
        int64_t next = past_digits(t, i);
        if (next - i < 2 || next - i > 8)
            break;
        many += next - i, end = next;
    }
    return many >= 7 && !(many > 14 && ends(t, end, ".,/-")) ? GROUPS : 0;
}

/* 400-810-8888, and seven to twelve digits by themselves, perhaps with an extension. */
static int64_t digits_alone(const struct text *t, int64_t i)
{
    int64_t end = past_digits(t, i), size = end - i, shapes = 0;
    int sign = at(t, end);
    if ((at(t, i) == '4' || at(t, i) == '8') && says(t, i + 1, "00") &&
        ((sign == '-' && (size == 3 || size == 6 || size == 7)) || (size >= 9 && size <= 11)))
        shapes |= FREE;
    if (size >= 7 && size <= 12 && (ends(t, end, ".,/-") || lower(sign) == 'x' || lower(sign) == 'e'))
        shapes |= DIGITS;
    return shapes;
}

static int64_t telephone(const struct text *t, int64_t i)
{
    int before = at(t, i - 1), sign = at(t, i);
    if (is_alnum(before) || before == '+' || !begins(t, i, ".,/-"))
        return 0;
    int64_t shapes = mobile(t, i) | landline(t, i) | american(t, i) | groups(t, i);
    int64_t plus = i + (sign == '(');
    if (at(t, plus) == '+' && between(at(t, plus + 1), '1', '9') && scattered(t, plus + 1, 8))
        shapes |= PLUS;
    if (sign == '0' && at(t, i + 1) == '0' && scattered(t, i, 9))
        shapes |= ZEROS;
    return is_digit(sign) ? shapes | digits_alone(t, i) : shapes;
}

#endif
