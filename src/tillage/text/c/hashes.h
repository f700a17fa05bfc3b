/* Hashes of runs of bytes and of shingles, as `text.runs` and `text.shingles` define them. */
#ifndef TILLAGE_HASHES_H
#define TILLAGE_HASHES_H

#include <stdint.h>

#define SIZE 5 /* tokens of a shingle */

/* A bijection of 64 bits after which every bit depends on all (MurmurHash3, finaliser of Stafford). */
static inline uint64_t mixed(uint64_t word)
{
    word = (word ^ (word >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94D049BB133111EB);
    return word ^ (word >> 31);
}

/* How many shingles a text of so many tokens has. */
static inline int64_t shingles_of(int64_t tokens)
{
    return tokens < SIZE ? 1 : tokens - (SIZE - 1);
}

/* Shingle n of a text of so many tokens: of five of them, or of all that it has. */
static inline uint64_t shingle(const uint64_t *token, int64_t tokens, int64_t n, const uint64_t *places,
                               const uint64_t *fewer)
{
    if (tokens >= SIZE)
        return mixed(token[n] * places[0] + token[n + 1] * places[1] + token[n + 2] * places[2] +
                     token[n + 3] * places[3] + token[n + 4] * places[4]);
    uint64_t sum = fewer[tokens];
    for (int64_t i = 0; i < tokens; i++)
        sum += token[i] * places[i];
    return mixed(sum);
}

#endif
