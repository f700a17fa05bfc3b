/* Shapes of dates; see shapes.c. */
#ifndef TILLAGE_DATES_H
#define TILLAGE_DATES_H

#include "signs.h"

static int is_year(const struct text *t, int64_t i)
{
    return (says(t, i, "19") || says(t, i, "20")) && is_digit(at(t, i + 2)) && is_digit(at(t, i + 3)) &&
           !is_alnum(at(t, i + 4));
}

/* Whether the name of a month begins here; its end, or -1. */
static int64_t past_month(const struct text *t, int64_t i)
{
    static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                         "jul", "aug", "sep", "oct", "nov", "dec"};
    for (int k = 0; k < 12; k++)
        if (says(t, i, months[k])) {
            i += 3;
            while (is_letter(at(t, i)))
                i++;
            return i;
        }
    return -1;
}

/* The first digits of a run, and what may stand behind those of a day. */
static int64_t past_day(const struct text *t, int64_t i)
{
    int64_t end = past_digits(t, i);
    if (end - i > 2)
        return -1;
    return says(t, end, "st") || says(t, end, "nd") || says(t, end, "rd") || says(t, end, "th") ? end + 2 : end;
}

/* 2/8/1935 and 1935-8-2. */
static int64_t date(const struct text *t, int64_t i)
{
    int64_t first = past_digits(t, i), second = past_digits(t, first + 1), third = past_digits(t, second + 1);
    int sign = at(t, first);
    if (!is_one_of(sign, "./-") || at(t, second) != sign || !begins(t, i, "./-"))
        return 0;
    int64_t long_first = first - i == 4 && third - second - 1 <= 2, long_last = first - i <= 2 && third - second - 1 == 4;
    return second - first - 1 <= 2 && (long_first || long_last) ? DATE : 0;
}

/* 12th of May 1990 here, or May 12, 1990 around it. */
static int64_t date_of_month(const struct text *t, int64_t i)
{
    int64_t end = past_day(t, i), place = end;
    if (end < 0)
        return 0;
    place += at(t, place) == ',';
    if (at(t, place) == ' ' && is_year(t, place + 1) && at(t, i - 1) == ' ') {
        enum { LONGEST = 10 };
        int64_t start = i - 1 - (at(t, i - 2) == '.');
        while (i - start < LONGEST + 2 && is_letter(at(t, start - 1)))
            start--;
        if (past_month(t, start) >= 0 && !is_alnum(at(t, start - 1)))
            found(t, start, DATE_OF_MONTH);
    }
    place = end + (says(t, end, " of") ? 3 : 0);
    if (at(t, place) != ' ' || (place = past_month(t, place + 1)) < 0)
        return 0;
    place += at(t, place) == '.';
    place += at(t, place) == ',';
    return at(t, place) == ' ' && is_year(t, place + 1) ? DATE_OF_MONTH : 0;
}

/* Four digits and the sign of a year, with one character between them at the most; `end`: that of the digits. */
static void date_in_han(const struct text *t, int64_t end)
{
    enum { LONGEST_SIGN = 4 };
    if (!is_digit(at(t, end - 4)) || is_digit(at(t, end - 5)))
        return;
    for (int64_t i = end; i <= end + LONGEST_SIGN; i++)
        if (at(t, i) == 0xE5 && at(t, i + 1) == 0xB9 && at(t, i + 2) == 0xB4) {
            found(t, end - 4, DATE_IN_HAN);
            return;
        }
}

#endif
