/* A histogram of latencies: 32 buckets for each doubling of the microseconds, so within 3 %. */
#pragma once
#include <stdint.h>

enum { SUB = 32, BUCKETS = SUB * 40 };

static int bucket(int64_t us) {
    if (us < SUB) return us < 0 ? 0 : (int)us;
    int shift = 63 - __builtin_clzll((uint64_t)us) - 5;
    int index = SUB * (shift + 1) + (int)((us >> shift) - SUB);
    return index < BUCKETS ? index : BUCKETS - 1;
}

static double bucket_ms(int index) {
    if (index < SUB) return index / 1e3;
    int shift = index / SUB - 1;
    return (double)(((int64_t)(SUB + index % SUB) << shift) + ((1LL << shift) >> 1)) / 1e3;
}
